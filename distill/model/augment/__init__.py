"""Augmenting training examples: images and texts changed a little."""
