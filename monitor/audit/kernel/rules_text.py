"""The text that `nft -a list ruleset` prints, cut into tables, chains and rules without an understanding of rules.

nft indents by tabs: a table has none, its chains and sets one, a rule two, and the further lines of a rule with long
sets more than two.
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

from monitor.audit.findings import RuleRef

_HANDLE = re.compile(rb"\s*# handle (\d{1,18})$")
_TABLE = re.compile(rb"^table (\S+) (\S+) \{")
_CHAIN = re.compile(rb"^\tchain (\S+) \{")
_HOOK = re.compile(rb"^\t\ttype (\S+) hook (\S+) ")
_NOT_RULES = (b"\t\ttype ", b"\t\tpolicy ", b"\t\tcomment ", b"\t\tdevices ", b"\t\tflags ")
XT = re.compile(rb"\sxt (?:match|target) ")
"""What nft prints of a match or target of iptables that it does not know."""
_OWNER = re.compile(rb"^\tflags owner[^\n]*\n", re.MULTILINE)
_MAX_TEXT = 1024
_NAME_CHARS = 200


class ChainText(msgspec.Struct, frozen=True):
    """A chain: its rules in order, as (handle, text)."""

    hook: str
    type: str
    rules: list[bytes]


class TableText(msgspec.Struct, frozen=True, kw_only=True):
    """A table; `text` can be loaded."""

    family: str
    name: str
    text: bytes
    chains: Mapping[str, ChainText]
    is_opaque: bool
    """nft cannot show some matches of iptables in it."""

    @property
    def hooks(self) -> frozenset[str]:
        """The hooks of its base chains."""
        return frozenset(chain.hook for chain in self.chains.values() if chain.hook)

    @property
    def has_translation(self) -> bool:
        """Whether it has a base chain that translates destinations."""
        return any(chain.type == "nat" and chain.hook == "prerouting" for chain in self.chains.values())

    def rule(self, chain: str, position: int) -> RuleRef:
        """Return a rule by its position; -1: the chain's policy."""
        rules = self.chains[chain].rules if chain in self.chains else []
        name, chain = self.name[:_NAME_CHARS], chain[:_NAME_CHARS]
        if not 0 <= position < len(rules):
            return RuleRef(family=self.family, table=name, chain=chain)
        line = rules[position]
        found = _HANDLE.search(line)
        text = line[: found.start()] if found else line
        words = re.sub(rb"\s+", b" ", text.strip()).decode(errors="replace")
        handle = int(found[1]) if found else 0
        return RuleRef(family=self.family, table=name, chain=chain, handle=handle, text=words[:_MAX_TEXT])


def split_tables(text: bytes) -> Iterator[TableText]:
    """Yield the tables in their order; lines outside of tables are comments."""
    at = 0
    while (start := _table_start(text, at)) >= 0:
        end = text.find(b"\n}", start)
        at = len(text) if end < 0 else end + 2
        body = text[start:at]
        head = _TABLE.match(body)
        if head is None:
            continue
        yield TableText(
            family=head[1].decode(errors="replace"),
            name=head[2].decode(errors="replace"),
            text=_OWNER.sub(b"", body) + b"\n",
            chains=dict(_chains(body)),
            is_opaque=XT.search(body) is not None,
        )


def _table_start(text: bytes, at: int) -> int:
    if text.startswith(b"table ", at):
        return at
    found = text.find(b"\ntable ", at)
    return found + 1 if found >= 0 else -1


def _chains(body: bytes) -> Iterator[tuple[str, ChainText]]:
    current: ChainText | None = None
    name = hook = kind = ""
    for line in body.split(b"\n"):
        if not line.startswith(b"\t\t"):
            if current is not None:
                yield name, msgspec.structs.replace(current, hook=hook, type=kind)
            current = None
            if head := _CHAIN.match(line):
                name, hook, kind = head[1].decode(errors="replace"), "", ""
                current = ChainText("", "", [])
        elif current is None:
            continue
        elif base := _HOOK.match(line):
            kind, hook = base[1].decode(errors="replace"), base[2].decode(errors="replace")
        elif line[2:3] == b"\t" and current.rules:
            current.rules[-1] += b" " + line.strip()
        elif not line.startswith(_NOT_RULES):
            current.rules.append(line.strip())
    if current is not None:
        yield name, msgspec.structs.replace(current, hook=hook, type=kind)
