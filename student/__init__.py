"""Distils teachers into students, judges distillation against a control, and fine-tunes in int8."""

PART_OF = "distill"
