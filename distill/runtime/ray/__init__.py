"""Predicting on many processes and machines with Ray; needs the extra `ray`."""
