"""A Bundle as an HTTP service, `distill serve`; needs the extra `serve`."""
