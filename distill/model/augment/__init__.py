"""Data augmentation for training: text.py changes words, image.py crops and recolours."""
