"""Forgers: attackers who want somebody else banned."""
