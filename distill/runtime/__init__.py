"""The runtime: everything that a device needs to open a Bundle and predict with it, without torch."""
