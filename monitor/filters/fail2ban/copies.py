"""Writes an imported filter as one of our own: everything resolved, so that it depends on no file of fail2ban."""

from typing import Any

import yaml

from monitor.filters.definition import FilterDefinition

MARK = "# Translated from fail2ban's configuration"
"""The start of every file that the import writes: only files that start with it are replaced."""


class _Dumper(yaml.SafeDumper):
    """Writes expressions in quotes, one on a line."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    is_plain = len(text) < 40 and text.replace(" ", "").replace("_", "").replace("=", "").isalnum()
    # In single quotes, characters that YAML takes for line ends would be lost
    quotes = "'" if text.replace("\n", "").isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_plain else quotes)


_Dumper.add_representer(str, _quoted)


def filter_yaml(definition: FilterDefinition) -> str:
    """Return the text of a filter in YAML that is equivalent to a definition."""
    content: dict[str, Any] = {
        "description": f"The filter {definition.name} of fail2ban"[:200],
        "doubt": definition.evidence.doubt,
        "prefregex": definition.prefregex,
        "failregex": list(definition.failregex),
        "ignoreregex": list(definition.ignoreregex),
        "datepattern": definition.datepattern,
        "maxlines": definition.maxlines if definition.maxlines > 1 else 0,
        "journalmatch": [" ".join(terms) for terms in definition.journalmatch if not _has_space(terms)],
    }
    origin = "".join(char if char.isprintable() else "?" for char in definition.origin)
    head = f"{MARK}, {origin}: manual page nodewarden-filter(5).\n"
    body = {key: value for key, value in content.items() if value}
    return head + yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=1 << 30, allow_unicode=True)


def _has_space(terms: tuple[str, ...]) -> bool:
    return any(term.split() != [term] for term in terms)
