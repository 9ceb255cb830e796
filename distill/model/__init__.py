"""The two-tower network: encoders, fusion, features, soft targets and checkpoints."""
