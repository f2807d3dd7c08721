"""The self-check: what this machine and sandbox allow, and what is missing."""
