"""Everything that can be measured, and how a variant is opened."""
