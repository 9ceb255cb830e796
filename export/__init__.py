"""Export a student's Checkpoint to Bundles."""
