"""How good a model is on a split, and whether it has met these examples before."""
