"""The benchmark's page: one HTML file with plots, of one or several devices. Knows reports, measures nothing."""

from bench.report.page.page import to_html, write

__all__ = ["to_html", "write"]
