"""A Bundle as a page in a browser, `distill export --web`."""
