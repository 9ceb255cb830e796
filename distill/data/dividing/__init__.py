"""How rows are divided into train, dev and test."""
