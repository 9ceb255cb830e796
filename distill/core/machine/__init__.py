"""What this machine is and has: processors, devices, runtimes, memory."""
