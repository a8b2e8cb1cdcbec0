"""What can be done with experiments and runs: a module per noun."""
