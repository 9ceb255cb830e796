"""The command line: a file a command, each thin; what is slow to import is imported inside the commands."""
