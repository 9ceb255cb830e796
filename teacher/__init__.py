"""Training a teacher and writing down what it knows. Imports no student."""
