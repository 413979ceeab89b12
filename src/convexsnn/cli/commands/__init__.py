"""What is typed, one file a command: options, help, and how results are shown."""
