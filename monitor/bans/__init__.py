"""Bans: guard, ledger and policy turn alerts into decisions."""
