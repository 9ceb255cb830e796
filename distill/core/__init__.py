"""Errors, files, the recipe and the terminal: what every other room stands on."""
