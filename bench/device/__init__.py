"""The benchmark as one file that runs on a device without this toolkit."""
