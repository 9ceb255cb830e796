"""Searching a teacher's learning rate, batch size and loss with Optuna (`distill tune`)."""
