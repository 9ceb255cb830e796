"""Errors, files, the recipe and the terminal, which every other layer uses."""
