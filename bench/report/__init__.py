"""A benchmark's report: its types, its tables and its page."""
