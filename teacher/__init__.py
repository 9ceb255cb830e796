"""Trains, compares, tunes and retrains teachers, and writes their soft targets."""

PART_OF = "distill"
