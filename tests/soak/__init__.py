"""The soak: a mixed attack that does not end, and true offenders in it, who must be found."""
