"""What of the node's rules is copied, and in which form."""

import re
from collections.abc import Iterator, Mapping

import msgspec

from monitor.audit.kernel.log_rules import without_log, without_xt_log
from monitor.audit.kernel.rules_text import TableText, split_tables

_XT_TABLES = ("raw", "mangle", "nat", "filter", "security")
_SAVED = re.compile(rb"^\*(\w+)\n.*?^COMMIT\n", re.MULTILINE | re.DOTALL)
_PROGRAMS = {"ip": "iptables-nft-restore", "ip6": "ip6tables-nft-restore"}
_LIMIT = re.compile(
    rb"\b(?:limit rate|quota|ct count|meter)\b|\b(?:add|update) @|"
    rb"\bxt match .?(?:limit|quota|recent|hashlimit|connlimit)"
)
_LOG = re.compile(rb"\blog\b|\bxt target LOG\b|\bNFLOG\b", re.IGNORECASE)


class Dump(msgspec.Struct, frozen=True, kw_only=True):
    """The rules as programs print them."""

    text: bytes = b""
    """Of `nft -a -s list ruleset`."""
    xtables: Mapping[str, bytes] = {}
    """Of iptables-nft-save and ip6tables-nft-save, by family."""
    ipsets: bytes = b""
    """Of `ipset save`."""
    loss: tuple[str, ...] = ()


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules as they are loaded."""

    tables: tuple[TableText, ...]
    """All of them, also those that are restored by iptables."""
    loaded: tuple[TableText, ...]
    restores: tuple[tuple[str, bytes], ...]
    loss: tuple[str, ...]

    def limiting(self) -> Iterator[tuple[str, str, str]]:
        """Yield the chains that decide by how many packets came: a rule that only logs does not."""
        for table in self.tables:
            for name, chain in table.chains.items():
                if any(_LIMIT.search(line) and not _LOG.search(line) for line in chain.rules):
                    yield table.family, table.name, name

    def find(self, family: str, name: str) -> TableText | None:
        """Return a table; None if there is none."""
        return next((table for table in self.tables if (table.family, table.name) == (family, name)), None)


def prepare_copy(dump: Dump) -> Copy:
    """Choose for each table the form that loses nothing: iptables for what nft cannot show, else nft."""
    tables = tuple(split_tables(dump.text))
    saved = {family: _saved_tables(text) for family, text in dump.xtables.items()}
    restored = {
        (table.family, table.name)
        for table in tables
        if table.is_opaque and table.name in _XT_TABLES and table.name in saved.get(table.family, {})
    }
    opaque = [table for table in tables if table.is_opaque and (table.family, table.name) not in restored]
    loss = [f"table {table.family} {table.name}: nft cannot show matches of iptables in it" for table in opaque]
    return Copy(
        tables=tables,
        loaded=tuple(
            msgspec.structs.replace(table, text=without_log(table.text))
            for table in tables
            if (table.family, table.name) not in restored
        ),
        restores=tuple(_restores(dump, saved, restored)),
        loss=(*dump.loss, *loss),
    )


def _saved_tables(text: bytes) -> dict[str, bytes]:
    return {found[1].decode(): found[0] for found in _SAVED.finditer(text)}


def _restores(
    dump: Dump, saved: Mapping[str, Mapping[str, bytes]], restored: set[tuple[str, str]]
) -> Iterator[tuple[str, bytes]]:
    if restored and dump.ipsets:
        yield "ipset", dump.ipsets
    for family, program in _PROGRAMS.items():
        bodies = [body for name, body in saved.get(family, {}).items() if (family, name) in restored]
        text = without_xt_log(b"".join(bodies))
        if text:
            yield program, text
