"""Datasets: rows to Examples, label sets, splits, and the checks before anything slow starts."""
