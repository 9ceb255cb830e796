"""Training a teacher further on new data, and promoting it only if it is not worse (`distill retrain`)."""
