"""The daemon's life: start, signals, health, reload, stop."""
