"""Reads fail2ban's own configuration: filter.d and jails, as fail2ban reads them."""
