"""How much room there is: budgets, the ledger by class, rings of observed entries; for status, metrics and doctor."""

from collections.abc import Iterator

from monitor.bans.allowlist import PROVIDERS, TITLES
from monitor.bans.claims import Rank
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.enforcers.nftables.ruleset import BAN_SETS, set_specs
from monitor.metrics.metric import KeptSamples, Sample
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_ALLOWED, MAX_PORT_ELEMENTS, WORDS
from monitor.model.ports import MAX_PORTS
from monitor.model.problems import Problem, ProblemKind
from monitor.model.requirements import Part, PartKind, Requirement

_OBSERVED = "`nodewarden list --observed`"


def full_classes(policy: Policy) -> list[Rank]:
    """Return the classes of which a new ban is refused for lack of room, weakest first."""
    return [one for one in Rank if one is not Rank.OBSERVED and policy.ledger.is_full_for(one)]


class RoomProblems:
    """Finds which bans are only observed, refused or forgotten for lack of budget or room; asked each second."""

    def __init__(self, policy: Policy) -> None:
        """Know nothing yet."""
        self._policy = policy
        self._held: tuple[int, ...] = ()
        self._no_room: list[str] = []

    def found(self, now_s: float) -> Iterator[Problem]:
        """Yield the problems; whether there is room is found again when the bans are others."""
        policy = self._policy
        if budgets := policy.budgets.exceeded(now_s):
            yield Problem(ProblemKind.BUDGET, _over_budget(policy, budgets))
        if (held := _held(policy.ledger)) != self._held:
            self._no_room = list(_without_room(policy))
            self._held = held
        for text in self._no_room:
            yield Problem(ProblemKind.ROOM, text)
        for provider, count in policy.guard.omitted.items():
            text = f"the allowlist is full ({MAX_ALLOWED} networks): {count} of {TITLES[provider]} are left out and"
            yield Problem(ProblemKind.ALLOWLIST_FULL, f"{text} could be banned (`nodewarden allow list`)")
        observed = policy.ledger.observed
        for strength in observed.crowded(now_s):
            text = f"more than {observed.max_each} entries of the class {WORDS[strength]} are only observed:"
            yield Problem(ProblemKind.OBSERVED_FULL, f"{text} the oldest were dropped, {_OBSERVED} shows the rest")


def _held(ledger: Ledger) -> tuple[int, ...]:
    """Return what differs when there is more or less room for bans than before."""
    return ledger.changes, ledger.max_bans, *ledger.of_ports.elements.values()


def _over_budget(policy: Policy, exceeded: list[Strength]) -> str:
    return (
        f"more than bans.budget.bans_per_minute ({policy.budgets.bans_per_minute}) bans: the rest of the class "
        f"{_words(exceeded)} are only observed ({_OBSERVED})"
    )


def _without_room(policy: Policy) -> Iterator[str]:
    ledger = policy.ledger
    if ledger.is_full:
        yield f"bans.max_bans is reached ({_shares(policy)}): {_effect(full_classes(policy))}"
    elif full := full_classes(policy):  # imports, lists and peers have a share
        names = ", ".join(one.label for one in full)
        yield f"the share of bans.max_bans for {names} is used up ({ledger.max_bulk} bans): more of them are refused"
    for name in _full_prefix_sets(policy):
        yield f"the set {name} is full: a new prefix needs a weaker one to yield, or is refused"
    for strength, count in ledger.of_ports.elements.items():
        if count > MAX_PORT_ELEMENTS - MAX_PORTS:
            yield f"the sets of {WORDS[strength]}s of some ports are full ({count} ports): more may be refused"


def part(policy: Policy, now_s: float) -> Part:
    """Return what doctor says about room."""
    missing = "; ".join(one.text for one in RoomProblems(policy).found(now_s))
    repair = "nodewarden list --sort since --limit 30   # what fills it? raise bans.max_bans if need be"
    room = Requirement("budget, room for bans of every class, and for the allowlist", missing, repair)
    return Part("room", PartKind.ENFORCER, is_wanted=True, requirements=[room], is_optional=True)


def allowlist_part(policy: Policy) -> Part:
    """Return what doctor says about an allowlist that takes in most of the Internet."""
    needed = Requirement(
        "an allowlist that leaves somebody to ban",
        policy.guard.breadth.problem,
        "nodewarden allow list   # take the wide ones out of bans.allowlist, or use `nodewarden allow remove`",
    )
    return Part("allowlist", PartKind.PROTECTION, is_wanted=True, requirements=[needed])


class RoomSamples:
    """Budgets and room; what changes with bans or the allowlist only is kept."""

    def __init__(self, policy: Policy) -> None:
        """Keep nothing yet."""
        self._policy = policy
        self._of_bans, self._of_allowlist = KeptSamples(), KeptSamples()

    def samples(self) -> list[Sample]:
        """Return all of them."""
        ledger, budgets, guard = self._policy.ledger, self._policy.budgets, self._policy.guard
        found: list[Sample] = [
            *self._of_bans.of(_held(ledger), lambda: _ban_samples(ledger)),
            *self._of_allowlist.of(guard, lambda: _allowlist_samples(guard)),
            ("nodewarden_observed_limit", (), ledger.observed.max_each),
            ("nodewarden_budget_bans_per_minute", (), budgets.bans_per_minute),
        ]
        for strength in Strength:
            found += [
                ("nodewarden_observed_evicted_total", (strength,), ledger.observed.evicted[strength]),
                ("nodewarden_budget_refused_total", (strength,), budgets[strength].refused_total),
            ]
        return found


def _allowlist_samples(guard: Guard) -> Iterator[Sample]:
    yield "nodewarden_allowlist_networks", (), len(guard.entries)
    yield "nodewarden_allowlist_limit", (), MAX_ALLOWED
    for family, share in guard.breadth._asdict().items():
        yield "nodewarden_allowlist_share", (family,), share
    for provider in PROVIDERS:
        yield "nodewarden_allowlist_omitted", (provider,), guard.omitted.get(provider, 0)


def _ban_samples(ledger: Ledger) -> Iterator[Sample]:
    yield "nodewarden_bans_limit", (), ledger.max_bans
    yield "nodewarden_bulk_bans", (), ledger.bulk
    yield "nodewarden_bulk_bans_limit", (), ledger.max_bulk
    counts = ledger.count_by_rank()
    for one in Rank:
        yield "nodewarden_bans_by_class", (one.label,), counts[one]
        yield "nodewarden_bans_full", (one.label,), float(ledger.is_full_for(one))
    for name, spec in set_specs(ledger.max_bans).items():
        yield "nodewarden_set_elements_limit", (name,), spec.size
        count = ledger.count_in_set(BAN_SETS[name], spec.key_bytes * 8, prefixes=spec.interval)
        yield "nodewarden_set_elements", (name,), count
    for strength in (Strength.PROVEN, Strength.SPOOFABLE):
        yield "nodewarden_set_elements_limit", (f"port_{WORDS[strength]}",), MAX_PORT_ELEMENTS
        yield "nodewarden_set_elements", (f"port_{WORDS[strength]}",), ledger.of_ports.elements[strength]


def _full_prefix_sets(policy: Policy) -> list[str]:
    ledger = policy.ledger
    return [
        name
        for name, spec in set_specs(ledger.max_bans).items()
        if spec.interval
        and ledger.count_in_set(BAN_SETS[name], spec.key_bytes * 8, prefixes=True) >= ledger.max_prefixes
    ]


def _words(strengths: list[Strength]) -> str:
    return " and ".join(WORDS[one] for one in strengths)


def _shares(policy: Policy) -> str:
    counts = policy.ledger.count_by_rank()
    return ", ".join(f"{counts[one]} {one.label}" for one in Rank if one is not Rank.OBSERVED and counts[one])


def _effect(full: list[Rank]) -> str:
    """Say what becomes of new bans, given the classes for which there is no room."""
    if Rank.OPERATOR in full:
        return "every new ban is refused"
    if Rank.PROVEN in full:
        return "new bans are refused, except those by hand, for which a weaker one yields"
    return f"new bans of {', '.join(one.label for one in full)} are refused; for others a weaker one yields"
