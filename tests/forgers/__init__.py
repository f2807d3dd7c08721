"""Forgers: everybody who would like to have somebody else banned."""
