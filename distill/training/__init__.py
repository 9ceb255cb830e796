"""The training loop that teacher and student share: trainer.py, its optimizer, cross-validation and run folders."""
