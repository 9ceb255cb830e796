"""Inside the training loop: Trainer and its callbacks, optimiser and schedule, arithmetic, checkpoints."""
