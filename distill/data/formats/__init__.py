"""The forms in which datasets are published, one reader each behind one door."""
