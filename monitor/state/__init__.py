"""State that outlives the daemon: bans, offences, cursors, networks allowed by hand."""
