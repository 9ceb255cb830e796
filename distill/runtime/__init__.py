"""Opening a Bundle and answering with it, without torch: everything that runs on a device."""
