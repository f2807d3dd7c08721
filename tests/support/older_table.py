"""The table in older schemas, as nft(8) would make it.

In 3 the egress sets were called `block`, 4 shunned new connections only, 5 had user data in its sets,
6 knew no bans of some ports only.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

OLDER_SCHEMAS = (3, 4, 5, 6)
_TEXTS = {number: Path(__file__).with_name(f"table_schema_{number}.nft").read_text() for number in OLDER_SCHEMAS}
"""The rulesets of those versions, with `bans.max_bans: 1000` and an empty allowlist."""

EGRESS_WORDS = {3: "block", 4: "egress", 5: "egress", 6: "egress"}
"""What the sets of destinations were called, by schema."""


def sets_of(schema: int) -> tuple[str, ...]:
    """Return the ban sets of a schema, which are also the names of the counters."""
    words = ("ban", "shun", EGRESS_WORDS[schema])
    return tuple(f"{word}{family}{suffix}" for word in words for family in "46" for suffix in ("", "_nets"))


def older_table(
    schema: int, elements: Mapping[str, Sequence[str]], counters: Mapping[str, tuple[int, int]] | None = None
) -> str:
    """Return the table for nft(8): `elements` by set in nft's notation, `counters` as packets and bytes."""
    text = _TEXTS[schema]
    for name, (packets, octets) in (counters or {}).items():
        text = re.sub(rf"(counter {name} {{\n)", rf"\1    packets {packets} bytes {octets}\n", text, count=1)
    lines = [f"add element inet nodewarden {name} {{ {', '.join(listed)} }}" for name, listed in elements.items()]
    return text + "\n".join(lines) + "\n"
