"""Where an address comes from, for people who read output: never in the daemon, and never to decide."""
