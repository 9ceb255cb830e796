"""Measuring quality, latency, memory and size of everything that can predict."""
