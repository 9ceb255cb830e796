"""Distillation and edge deployment for multi-label classification of images with text."""

__version__ = "0.1.0"
