"""Reads fail2ban's configuration: filter.d and jails, as fail2ban reads them."""
