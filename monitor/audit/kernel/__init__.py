"""The kernel judges: a copy of the node's rules in a throw-away network namespace gets real packets."""
