"""Turns log text into events: filters in fail2ban's notation, matched against whole blocks of lines."""
