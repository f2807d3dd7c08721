"""Text of others, for people: what attackers, clients and peers wrote must not control a terminal or a log viewer."""


def printable(text: str) -> str:
    r"""Return one line: what a terminal might obey, or show as something else than it is, is escaped as in `\u202e`.

    That is everything that Unicode does not call printable: control characters and line ends, marks that change the
    direction of text, invisible characters, surrogates of bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str, indent: str = "") -> str:
    """Return text of our own that has several lines, each escaped, all but the first indented."""
    return f"\n{indent}".join(map(printable, text.split("\n")))
