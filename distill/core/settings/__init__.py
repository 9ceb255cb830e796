"""The recipe: every setting, its limits, and how it is read from TOML or JSON."""
