"""Makes, writes and reads baselines."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from monitor.audit.baseline import Baseline, RuleLine
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Zone
from monitor.audit.reach import Listener, Outcome, Reach, Verdict
from monitor.audit.rules.digests import identity
from monitor.audit.ruleset import SETTLED, Chain, Rule
from monitor.files.regular import digest_of, read_regular
from monitor.files.replaced import replace_file
from monitor.model.errors import ConfigError, explain

VERSION = 1
_MAX_BYTES = 16 * 2**20
_MAX_LINES = 20_000
"""Rules of all tables together: beyond that, only digests tell that something changed."""
_MAX_OPEN = 20_000
_TEXT = 512


def make_baseline(facts: Facts, node: str, zones: tuple[Zone, ...] = tuple(Zone)) -> Baseline:
    """Return the state of a node; `zones`: those that were tried.

    Since when rules met no packet is known from the previous state and the baseline in the facts.
    """
    opened = dict(islice(_open(facts.reach), _MAX_OPEN))
    undecided = {open_key(one): None for one in facts.reach.verdicts if one.outcome is Outcome.UNKNOWN}
    return Baseline(
        version=VERSION,
        time_s=facts.time_s,
        node=node[:256],
        open=opened,
        undecided=tuple(key for key in islice(undecided, _MAX_OPEN) if key not in opened),
        zones=zones,
        digests=dict(facts.ruleset.digests),
        rules=_rules(facts),
        idle={key: idle_since_s(key, facts) for key in _idle(facts)},
        lacks={part.value: facts.lacks[part][:2048] for part in (Part.REACH, Part.RULESET) if part in facts.lacks},
        nft_version=facts.ruleset.nft_version[:256],
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline, readable in a version control system; ConfigError if that fails, or a part of it is lacking."""
    if baseline.lacks:
        raise ConfigError(f"{path}: no baseline is written of what is unknown: {'; '.join(baseline.lacks.values())}")
    try:
        replace_file(path, msgspec.json.format(msgspec.json.encode(baseline), indent=1), b"\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written: {explain(error)}") from error


def read_baseline(path: Path) -> Baseline:
    """Return a baseline that was written; ConfigError if it is missing, damaged, or of a later version."""
    try:
        content = read_regular(path, _MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the baseline cannot be read: {explain(error)}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: the baseline has more than {_MAX_BYTES >> 20} MiB")
    return decode_baseline(content, str(path))


def decode_baseline(content: bytes, name: str) -> Baseline:
    """Return the baseline in a file's content; ConfigError with the file's name if there is none."""
    try:
        baseline = msgspec.json.decode(content, type=Baseline)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: this is no baseline: {error}") from error
    if baseline.version != VERSION:
        raise ConfigError(f"{name}: baseline of version {baseline.version}; this nodewarden reads {VERSION}")
    if not 0 < baseline.time_s < 2**40:
        raise ConfigError(f"{name}: this is no baseline: it has no time")
    return baseline


def idle_key(rule: Rule) -> str:
    """Return what `Baseline.idle` calls a rule."""
    return f"{rule.ref.family} {rule.ref.table} {rule.ref.chain} {_digest(rule)}"[:256]


def idle_since_s(key: str, facts: Facts) -> float:
    """Return since when a rule that is idle now is known to be, wall time."""
    return min(facts.time_s, *(state.idle.get(key, facts.time_s) for state in (facts.baseline, facts.previous)))


def open_key(verdict: Verdict) -> str:
    """Return what `Baseline.open` calls a port that was reached."""
    return f"{verdict.probe.zone} {verdict.probe.protocol}/{verdict.probe.port}"


def _open(reach: Reach) -> Iterator[tuple[str, str]]:
    listening: dict[tuple[str, int], Listener] = {}
    for listener in reach.listeners:
        listening.setdefault((listener.protocol, listener.port), listener)
    for verdict in reach.verdicts:
        if verdict.outcome is not Outcome.REACHED:
            continue
        found = listening.get((verdict.probe.protocol, verdict.to_port or verdict.probe.port))
        if verdict.to_address:
            text = f"translated to {verdict.to_address}:{verdict.to_port}"
        else:
            text = (found.process or found.unit) if found else ""
        yield open_key(verdict), text[:2048]


def _digest(rule: Rule) -> str:
    return digest_of(identity(rule).encode("utf-8", "surrogatepass"))[:12]


def _lines(chain: Chain) -> Iterator[RuleLine]:
    if chain.hook:
        head = f"{chain.type} hook {chain.hook} priority {chain.priority} policy {chain.policy or 'accept'}"
        yield RuleLine(chain.name, head, chain.author.value, head)
    for rule in chain.rules:
        if rule.author in SETTLED:
            yield RuleLine(chain.name, rule.ref.text[:_TEXT], rule.author.value, _digest(rule))


def _rules(facts: Facts) -> dict[str, tuple[RuleLine, ...]]:
    found: dict[str, list[RuleLine]] = {table: [] for table in facts.ruleset.digests}
    count = 0
    for chain in facts.ruleset.chains:
        table = found.get(f"{chain.family} {chain.table}")
        if table is None or chain.author not in SETTLED:
            continue
        lines = list(_lines(chain))
        count += len(lines)
        if count > _MAX_LINES:
            return {}
        table += lines
    return {table: tuple(lines) for table, lines in found.items()}


def _idle(facts: Facts) -> Iterator[str]:
    rules = (rule for chain in facts.ruleset.chains for rule in chain.rules)
    yield from (idle_key(rule) for rule in islice(filter(is_idle, rules), _MAX_LINES))


def is_idle(rule: Rule) -> bool:
    """Whether a rule accepts, counts, and has counted nothing."""
    return rule.verdict == "accept" and rule.packets == 0 and rule.author in SETTLED
