"""Finds the addresses that must never be banned: node addresses, gateways, resolvers, sessions, cluster."""
