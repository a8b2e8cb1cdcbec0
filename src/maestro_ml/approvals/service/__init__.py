"""Use cases of approvals. Whoever keeps things behind them needs `guard`."""
