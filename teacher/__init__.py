"""Training a teacher, its losses and its soft targets; compare.py, tune/ and retrain/ choose among teachers."""

PART_OF = "distill"
