"""Webhooks, and the log of what was delivered: a module per noun."""
