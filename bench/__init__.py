"""Measures quality, latency, memory and size of runs, Bundles and other toolkits."""

PART_OF = "distill"
