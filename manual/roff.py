"""Manual pages in the language of man(7), from text with Markdown's marks."""

from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", "`": r"\(ga", "'": r"\(aq"})


class Page:
    """One page, written from top to bottom."""

    def __init__(self, name: str, section: int, version: str, about: str) -> None:
        """`about` describes `name` in one phrase, for apropos(1)."""
        self._lines = [f'.TH {_quote(name.upper())} {section} "" {_quote(f"nodewarden {version}")} "nodewarden"']
        self.heading("name")
        self._lines.append(rf"{escape(name)} \- {escape(about)}")

    def heading(self, text: str) -> None:
        """Start a section."""
        self._lines.append(f".SH {_quote(text.upper())}")

    def subheading(self, text: str) -> None:
        """Start a subsection."""
        self._lines.append(f".SS {_quote(text)}")

    def paragraph(self, text: str) -> None:
        """Write a paragraph."""
        self._lines += [".PP", inline(text)]

    def tagged(self, tag: str, text: str) -> None:
        """Write a word or option and its meaning."""
        self._lines += [".TP", inline(tag), inline(text) or r"\&"]

    def bullet(self, text: str) -> None:
        """Write a list item."""
        self._lines += [r".IP \(bu 2", inline(text)]

    def example(self, text: str) -> None:
        """Write lines as they are."""
        self._lines += [".PP", ".RS 4", ".EX", *map(_line, text.rstrip("\n").split("\n")), ".EE", ".RE"]

    def markdown(self, text: str) -> None:
        """Write a document: headings, paragraphs, bullets, code, and tables as words with their meaning."""
        _Writer(self).write(_MARKDOWN.parse(text))

    def __str__(self) -> str:
        """Return the page as roff."""
        return "\n".join(self._lines) + "\n"


class _Writer:
    """Takes a document's tokens to a page."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def write(self, tokens: list[Token]) -> None:
        level = 0
        rows: list[list[str]] = []
        for before, token in zip([Token("", "", 0), *tokens], tokens, strict=False):
            match token.type:
                case "list_item_open" | "list_item_close":
                    level += token.nesting
                case "inline" if before.type == "heading_open":
                    self._heading(before.tag, token.content)
                case "inline" if before.type in ("th_open", "td_open"):
                    rows[-1].append(token.content)
                case "inline" if level:
                    self._page.bullet(token.content)
                case "inline":
                    self._page.paragraph(token.content)
                case "fence" | "code_block":
                    self._page.example(token.content)
                case "tr_open":
                    rows.append([])
                case "table_close":
                    self._table(*rows)
                    rows = []

    def _heading(self, tag: str, text: str) -> None:
        if tag == "h2" and text[0].isupper():
            self._page.heading(text)
        elif tag != "h1":  # keys of the configuration keep their case
            self._page.subheading(text)

    def _table(self, header: list[str], *rows: list[str]) -> None:
        """Write each row: its first cell is the word, its last the meaning, with those between before it."""
        for word, *between, meaning in rows:
            told = [f"{name}: {cell}" for name, cell in zip(header[1:-1], between, strict=True)]
            self._page.tagged(f"**{word}**" if "`" not in word else word, f"{meaning} ({'; '.join(told)})")


def escape(text: str) -> str:
    """Return text that stands for itself inside a line."""
    return text.translate(_ESCAPES)


def inline(text: str) -> str:
    """Return one line of roff: code and strong text in bold, links as their text."""
    (token,) = _MARKDOWN.parseInline(text) or [Token("inline", "", 0, children=[])]
    return _guard("".join(_spans(token.children or [])))


def _spans(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        match token.type:
            case "text" | "html_inline":
                yield escape(token.content)
            case "code_inline":
                yield rf"\fB{escape(token.content)}\fR"
            case "strong_open":
                yield r"\fB"
            case "strong_close":
                yield r"\fR"
            case "em_open":
                yield r"\fI"
            case "em_close":
                yield r"\fR"
            case "softbreak" | "hardbreak":
                yield " "


def _line(text: str) -> str:
    return _guard(escape(text))


def _guard(line: str) -> str:
    """Escape a line that would be read as a request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


def _quote(text: str) -> str:
    """Return one argument of a macro."""
    return '"' + escape(text).replace('"', '""') + '"'
