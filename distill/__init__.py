"""Distillation and edge deployment for multi-label classification of pictures with text."""

__version__ = "0.1.0"
