"""A Bundle as an HTTP service: `distill serve`. Knows export.runtime; needs the extra `serve`, and no torch."""
