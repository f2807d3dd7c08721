"""Foreign text on a terminal."""


def printable(text: str) -> str:
    """Escape what a terminal might obey, or show as something else than it is."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
