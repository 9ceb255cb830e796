"""What is printed: results, notes, warnings and progress, in characters that are safe to show."""
