"""Predicting on many processes and machines with Ray Data."""
