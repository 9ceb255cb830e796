"""Searching for the cheapest student that is not worse (`distill search-student`)."""
