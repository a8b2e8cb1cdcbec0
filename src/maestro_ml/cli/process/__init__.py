"""What the command line runs in this process: loaded only by the commands that need it."""
