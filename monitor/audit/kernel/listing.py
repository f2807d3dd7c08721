"""Reads the rules of this network namespace by the programs that can show them."""

import re

from monitor.audit.kernel.copied import Dump
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.audit.kernel.rules_text import XT, split_tables
from monitor.audit.kernel.trace import table_names

_OWN = (("inet", "nodewarden"), ("inet", "nodewarden_lists"))
"""Our tables: of their sets, which may have a million bans, nothing is needed, since no probe has a banned source."""
_NAMED_SET = re.compile(rb"^\t(?:set|map) ", re.MULTILINE)
_SAVE = {"ip": "iptables-nft-save", "ip6": "ip6tables-nft-save"}


def read_dump() -> Dump:
    """Return the rules; JudgeError if nft cannot show them."""
    xtables, loss = {}, list[str]()
    try:
        text = _list_rules(loss)
    except ProgramFailed as error:
        raise JudgeError(f"nft cannot list the rules: {error}") from error
    is_opaque = XT.search(text) is not None
    for family, program in _SAVE.items():
        if is_opaque and f"table {family} ".encode() in text:
            try:
                xtables[family] = run(program)
            except ProgramFailed as error:
                loss.append(f"{program}: {error}")
    ipsets = b""
    if any(b"--match-set" in saved or b"-j SET" in saved for saved in xtables.values()):
        try:
            ipsets = run("ipset", "save")
        except ProgramFailed as error:
            loss.append(f"ipset: {error}")
    return Dump(text=text, xtables=xtables, ipsets=ipsets, loss=tuple(loss))


def _list_rules(loss: list[str]) -> bytes:
    """Return the text of all rules; of our own tables without the contents of sets."""
    if not set(table_names()) & set(_OWN):
        return run("nft", "-a", "-s", "list", "ruleset")
    texts = []
    for table in split_tables(run("nft", "-t", "-a", "-s", "list", "ruleset")):
        text = table.text
        if (table.family, table.name) not in _OWN and _NAMED_SET.search(text):
            try:
                text = run("nft", "-a", "-s", "list", "table", table.family, table.name)
            except ProgramFailed as error:
                if "No such file" in str(error):  # it went away in between
                    continue
                loss.append(f"table {table.family} {table.name}: {error}")
        texts.append(text)
    return b"".join(texts)
