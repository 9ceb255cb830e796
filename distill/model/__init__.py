"""The two-tower network and its data: encoders, fusion, datasets, augmentation, soft targets and checkpoints."""
