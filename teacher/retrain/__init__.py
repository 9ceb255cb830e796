"""Training a teacher on with new data, and promoting it only if it is not worse (`distill retrain`)."""
