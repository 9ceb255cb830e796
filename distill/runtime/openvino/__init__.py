"""Opens a Bundle in OpenVINO."""
