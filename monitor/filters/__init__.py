"""Text to events: filters in fail2ban's notation, matched over whole blocks of lines."""
