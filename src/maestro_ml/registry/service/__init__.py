"""What can be done with registered models: a module per noun."""
