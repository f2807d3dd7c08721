"""The rules of the node as programs print them, read into a `Ruleset`."""
