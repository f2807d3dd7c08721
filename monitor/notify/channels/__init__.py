"""The kinds of channels: each sends messages to one kind of place. Only the notifier imports them, by name."""
