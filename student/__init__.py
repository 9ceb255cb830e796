"""Distillation: the KD losses, training a student on stored soft targets, its control, int8 fine-tuning."""

PART_OF = "distill"
