"""What a user does with one call. The command line and Python programs share it."""
