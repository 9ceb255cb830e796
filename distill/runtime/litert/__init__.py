"""Opens a Bundle in LiteRT."""
