"""Metrics, thresholds, calibration and bootstrap intervals, on numpy arrays."""
