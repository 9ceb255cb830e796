"""Text and image encoders: pretrained ones, a small LSTM and CNN trained from scratch, and pruning."""
