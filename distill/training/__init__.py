"""The training loop that teacher and student share: transformers' Trainer, losses and folds."""
