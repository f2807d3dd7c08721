"""Reads what iptables-nft-save prints: the matches and targets of iptables that nft's JSON only names."""

import shlex
from collections.abc import Mapping

from monitor.audit.rules.values import PORT, WORD, Values, merged
from monitor.audit.ruleset import Rule

_MAX_RULES = 200_000
_MAX_TOKENS = 256
_STATES = {"--ctstate": "conntrack", "--state": "state"}
_TRACKED = frozenset({"NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"})


def saved_rules(texts: Mapping[str, bytes]) -> dict[tuple[str, str, str], list[str]]:
    """Return the rules of each (family, table, chain), in order and without `-A CHAIN`."""
    found: dict[tuple[str, str, str], list[str]] = {}
    count = 0
    for family, text in texts.items():
        table = ""
        for line in text.decode("utf-8", "replace").splitlines():
            if line.startswith("*"):
                table = line[1:].strip()
            elif line.startswith("-A ") and count < _MAX_RULES:
                chain, _, rule = line[3:].partition(" ")
                found.setdefault((family, table, chain), []).append(rule.strip())
                count += 1
    return found


class Options(dict[str, list[str]]):
    """The options of a rule and their values; a negated one is under `! OPTION`."""

    @property
    def comment(self) -> str:
        """The comment of the rule."""
        return self.get("--comment", [""])[0]

    @property
    def target(self) -> str:
        """The target, such as `ACCEPT` or a chain."""
        return next((self[option][0] for option in ("-j", "-g") if self.get(option)), "")


def options(rule: str) -> Options:
    """Split a rule of iptables-save into its options; one that cannot be split has none."""
    found = Options()
    try:
        words = shlex.split(rule)[:_MAX_TOKENS] if '"' in rule or "\\" in rule else rule.split()[:_MAX_TOKENS]
    except ValueError:
        return found
    prefix, option = "", ""
    for word in words:
        if word == "!":
            prefix = "! "
        elif word.startswith("-") and len(word) > 1 and not word[1:].isdigit():
            option = prefix + word
            found.setdefault(option, [])
            prefix = ""
        elif option:
            found[option].append(word)
    return found


def xt_match(rule: Rule, name: str) -> dict[str, Values] | None:
    """Return the fields and values of a match of iptables, if it is a simple one: states, several ports, a mark."""
    read = {"conntrack": _states, "state": _states, "multiport": _ports, "mark": _mark}.get(name)
    if read is None or f"-m {name} " not in rule.saved:
        return None
    given = options(rule.saved)
    return read(given) if given.get("-m", []).count(name) == 1 else None


def mark_field(mask: int) -> str:
    """Return the field of the bits of a packet's mark that a mask selects."""
    return "meta mark" if mask == WORD else f"meta mark & {mask:#x}"


def set_mark(rule: Rule) -> tuple[int, int] | None:
    """Return value and mask of `-j MARK --set-xmark`: bits of the mask are cleared, then those of the value flipped."""
    given = options(rule.saved)
    words = given.get("--set-xmark", [])
    return _masked(words[0]) if given.target == "MARK" and len(words) == 1 else None


def _masked(word: str) -> tuple[int, int] | None:
    value, _, mask = word.partition("/")
    try:
        found = int(value, 0), int(mask or "0xffffffff", 0)
    except ValueError:
        return None
    return found if all(0 <= one <= WORD for one in found) else None


def _mark(given: Options) -> dict[str, Values] | None:
    found = [option for option in ("--mark", "! --mark") if option in given]
    masked = _masked(given[found[0]][0]) if len(found) == 1 and len(given[found[0]]) == 1 else None
    if masked is None:
        return None
    value, mask = masked
    one = Values(((value, value),))
    return {mark_field(mask): one if found[0] == "--mark" else one.others(WORD)}


def _states(given: Options) -> dict[str, Values] | None:
    found = [option for option in given if option.removeprefix("! ").startswith(("--ct", "--state"))]
    if len(found) != 1 or found[0] not in _STATES or len(given[found[0]]) != 1:
        return None
    states = frozenset(given[found[0]][0].split(","))
    return {"ct state": Values(names=frozenset(map(str.lower, states)))} if states <= _TRACKED else None


def _ports(given: Options) -> dict[str, Values] | None:
    found = [option for option in given if option.removeprefix("! ") in ("--dports", "--sports", "--ports")]
    if len(found) != 1 or found[0] not in ("--dports", "--sports") or len(given[found[0]]) != 1:
        return None
    intervals = []
    for part in given[found[0]][0].split(","):
        low, _, high = part.partition(":")
        if not (low.isdecimal() and (high or low).isdecimal()) or len(part) > 11:
            return None
        intervals.append((int(low), int(high or low)))
    if any(not 0 <= low <= high <= PORT for low, high in intervals):
        return None
    return {f"th {found[0][2:-1]}": Values(merged(intervals))}
