"""How good a model is on a split, and whether it has seen these examples before."""
