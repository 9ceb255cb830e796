"""The model card that travels with a Bundle."""
