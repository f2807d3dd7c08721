"""From events to bans in force."""
