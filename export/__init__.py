"""Export a student's Checkpoint to Bundles."""

PART_OF = "distill"
