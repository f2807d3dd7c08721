"""State that is kept across restarts: bans, offences, cursors, networks allowed by an operator."""
