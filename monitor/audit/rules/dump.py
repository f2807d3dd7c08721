"""Dumps the rules of the current network namespace, by the programs that wrote most of them: nft and iptables-nft.

nft's JSON hides matches of iptables that nftables does not know; those are in what iptables-nft-save prints. The
programs run as children: libnftables ends with a fault on sets whose user data a newer version wrote, and then only a
part of the facts is lacking. The copy that the kernel judges is made of other listings (`audit/kernel/listing.py`).
"""

from collections.abc import Mapping

import msgspec

from monitor.audit.kernel.programs import ProgramFailed, run

_SAVE = {"ip": "iptables-nft-save", "ip6": "ip6tables-nft-save"}


class Dump(msgspec.Struct, frozen=True, kw_only=True):
    """What the programs printed; one that failed left nothing, and `lacks` says why."""

    json: bytes = b""
    """`nft -j list ruleset`."""
    xtables: Mapping[str, bytes] = {}
    """By family (`ip`, `ip6`): what iptables-nft-save prints, if tables of that kind have rules."""
    lacks: Mapping[str, str] = {}
    """By `json`, `ip` and `ip6`: why it is missing."""
    is_terse: bool = False
    """The contents of sets and maps were left out: they exceed a bound."""


def dump_rules() -> Dump:
    """Dump the rules of this thread's network namespace. Raises nothing: what fails is in `lacks`."""
    lacks: dict[str, str] = {}
    is_terse = False
    json = _run(lacks, "json", "nft", "-j", "list", "ruleset")
    if "json" in lacks:
        # A set with a million elements exceeds a bound; its rules need not be lost for that.
        attempt: dict[str, str] = {}
        json = _run(attempt, "json", "nft", "-t", "-j", "list", "ruleset")
        if not attempt:
            is_terse = True
            lacks.pop("json")
    xtables = {}
    for family, program in _SAVE.items():
        if b'"xt": {' in json and (saved := _run(lacks, family, program)):
            xtables[family] = saved
    return Dump(json=json, xtables=xtables, lacks=lacks, is_terse=is_terse)


def _run(lacks: dict[str, str], part: str, *arguments: str) -> bytes:
    try:
        return run(*arguments)
    except ProgramFailed as error:
        lacks[part] = str(error)
        return b""
