"""Reads the rules of this network namespace by the programs that can show them."""

from monitor.audit.kernel.copied import Dump
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.programs import ProgramFailed, run
from monitor.audit.kernel.rules_text import XT

_SAVE = {"ip": "iptables-nft-save", "ip6": "ip6tables-nft-save"}


def read_dump() -> Dump:
    """Return the rules; JudgeError if nft cannot show them."""
    try:
        text = run("nft", "-a", "-s", "list", "ruleset")
    except ProgramFailed as error:
        raise JudgeError(f"nft cannot list the rules: {error}") from error
    xtables, loss = {}, []
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
