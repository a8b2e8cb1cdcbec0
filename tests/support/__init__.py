"""What every suite shares: the world's names, callers, and one builder per command."""

from support.world import ACME, LAB, OTHER, SHOP, USERS, caller

__all__ = ["ACME", "LAB", "OTHER", "SHOP", "USERS", "caller"]
