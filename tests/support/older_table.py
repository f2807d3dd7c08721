"""The table in schema 3, in which the egress sets were called `block`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_TEXT = Path(__file__).with_name("table_schema_3.nft").read_text()
"""The ruleset of that version, with `bans.max_bans: 1000` and an empty allowlist."""

SETS = tuple(
    f"{word}{family}{suffix}" for word in ("ban", "shun", "block") for family in "46" for suffix in ("", "_nets")
)
"""The ban sets, which are also the names of the counters."""


def schema_3(elements: Mapping[str, Sequence[str]], counters: Mapping[str, tuple[int, int]] | None = None) -> str:
    """Return the table for nft(8): `elements` by set in nft's notation, `counters` as packets and bytes."""
    text = _TEXT
    for name, (packets, octets) in (counters or {}).items():
        text = re.sub(rf"(counter {name} {{\n)", rf"\1    packets {packets} bytes {octets}\n", text, count=1)
    lines = [f"add element inet nodewarden {name} {{ {', '.join(listed)} }}" for name, listed in elements.items()]
    return text + "\n".join(lines) + "\n"
