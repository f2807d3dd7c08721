"""The kernel refuses bans, in every way that we know: kernel, ledger, answers, metrics and store agree all the same."""

from collections.abc import Callable, Iterator

import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.bans.ladder import Step
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.enforcers.netlink import DEL_ELEMENTS, NEW_ELEMENTS
from monitor.enforcers.nftables.batch import WORTHWHILE
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import MAX_PREFIXES, ClaimOrigin, Mode
from monitor.model.errors import NodewardenError, TemporaryError
from tests.support.ban_core import BANTIME_S, DETECTOR, BanCore, Trouble
from tests.support.lab import Host, Lab

pytestmark = pytest.mark.kernel

PROVEN = Strength.PROVEN
HOSTS = tuple(parse_network(text) for number in range(1, 4) for text in (f"198.51.100.{number}", f"2001:db8::{number}"))
MANY = tuple(parse_network(f"198.18.{number >> 8}.{number & 255}") for number in range(1, 2 * WORTHWHILE + 100))
APART = tuple(parse_network(f"203.0.{number}.0/24") for number in range(1, 13, 2))
OVERLAPPING = tuple(map(parse_network, ("203.0.8.0/22", "203.0.1.128/25", "203.0.1.0/24", "203.0.0.0/20")))
APART6 = tuple(parse_network(f"2001:db8:{number:x}::/48") for number in range(1, 13, 2))
SHAPES: dict[str, tuple[Network, ...]] = {
    "hosts": HOSTS,
    "many": MANY,
    "apart": APART,
    "overlapping": OVERLAPPING,
    "apart6": APART6,
}
WHICH: dict[str, Callable[[tuple[Network, ...]], tuple[Network, ...]]] = {
    "first": lambda all_: all_[:1],
    "middle": lambda all_: all_[len(all_) // 2 :][:1],
    "last": lambda all_: all_[-1:],
    "all": lambda all_: all_,
}
CAUSES = ("busy", "undone", "done")
RULES = Rules(
    {DETECTOR: DetectorPolicy(Mode.ENFORCE, BANTIME_S)},
    recidive_maxretry=5,
    ladder=(Step(32, 24, 3),),
)


@pytest.fixture(scope="module")
def node() -> Iterator[Host]:
    """Make one namespace for all tests of this file."""
    with Lab("node", label="faults") as lab, lab["node"].entered():
        yield lab["node"]


@pytest.fixture
def core(node: Host) -> Iterator[BanCore]:
    """Yield a core without a table."""
    core = BanCore()
    core.enforcer.flush()
    yield core
    core.close()


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    """Yield what spoils transactions."""
    return Trouble(monkeypatch)


def _refused(decisions: list[Decision]) -> set[Network]:
    return {one.network for one in decisions if one.verdict is Verdict.REFUSED}


def _victims(shape: str, which: str) -> tuple[Network, ...]:
    """Return whom trouble meets; prefixes that overlap are one change, so it is all of them or none."""
    return WHICH["all" if shape == "overlapping" else which](SHAPES[shape])


def _left(core: BanCore) -> float:
    return core.policy.budgets[Strength.PROVEN]._left


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("shape", SHAPES)
def test_new_bans_that_the_kernel_refuses(core: BanCore, trouble: Trouble, shape: str, which: str, cause: str) -> None:
    """Alerts on offenders of which some are refused: those are no offences, cost nothing, and the others stand."""
    networks = SHAPES[shape]
    victims = _victims(shape, which)
    core.table.make()
    budget = _left(core)
    with trouble.of(cause, victims):
        decisions = core.alert(*networks)
    assert trouble.count
    refused = _refused(decisions)
    # of prefixes the kernel's set is read again, which shows what was done: then they need not be refused
    is_reread = cause == "done" and shape not in ("hosts", "many")
    assert refused <= set(victims) if is_reread else refused == set(victims)
    core.check()
    core.check_answers(decisions, {})
    new = [one for one in decisions if one.verdict is Verdict.BAN]
    assert len(core.record.offences) == len(core.cut) == len(core.latencies) == len(new)
    assert _left(core) == pytest.approx(budget - len(new))
    for network in refused:
        assert core.policy._repeats[Strength.PROVEN].step(network, DETECTOR, decisions[0].alert.time_s) == 0  # type: ignore[union-attr]
    assert {one.verdict for one in core.alert(*networks)} <= {Verdict.BAN, Verdict.COVERED, Verdict.REFRESH}
    core.check()


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("which", WHICH)
@pytest.mark.parametrize("shape", SHAPES)
def test_later_ends_that_the_kernel_refuses(
    core: BanCore, trouble: Trouble, shape: str, which: str, cause: str
) -> None:
    """Bans in force whose later end is refused keep the old one everywhere, and the others have the new one."""
    networks = SHAPES[shape]
    victims = _victims(shape, which)
    core.order(*[(network, 1000.0 + 10 * index) for index, network in enumerate(networks)])
    before = {(ban.network, ban.strength): ban.until_s for ban in core.ledger.bans()}
    with trouble.of(cause, victims):
        decisions = core.order(*[(network, 3000.0 + 10 * index) for index, network in enumerate(networks)])
    assert trouble.count
    if shape in ("hosts", "many"):
        assert _refused(decisions) == set(victims)
    core.tick()
    core.check()
    core.check_answers(decisions, before)
    assert core.record.offences[len(networks) :] == []


@pytest.mark.parametrize("shape", ["hosts", "many"])
@pytest.mark.parametrize("is_all", [False, True])
def test_a_set_that_others_filled(core: BanCore, node: Host, shape: str, is_all: bool) -> None:
    """What no longer fits beside the elements of others is refused, and only that; later ends need no room."""
    networks = [network for network in SHAPES[shape] if network.bits == 32]
    core = _small(core, set_size=len(networks))
    core.table.make()
    most = len(networks) if is_all else 1
    _fill(core, node, most)
    decisions = core.alert(*networks)
    assert len(_refused(decisions)) == most
    core.check()
    core.check_answers(decisions, {})
    stands = [one.network for one in decisions if one.verdict is Verdict.BAN]
    assert {one.verdict for one in core.order(*((network, 5000.0) for network in stands))} <= {Verdict.REFRESH}
    core.check()
    core.close()


def _small(core: BanCore, set_size: int) -> BanCore:
    core.close()
    return BanCore(set_size=set_size)


def _fill(core: BanCore, node: Host, count: int) -> None:
    """Put so many addresses of others into the set of banned IPv4 addresses."""
    theirs = [
        parse_network(f"192.0.2.{number}" if number < 250 else f"192.1.2.{number - 250}") for number in range(count)
    ]
    node.nft(f"add element inet nodewarden ban4 {{ {', '.join(map(str, theirs))} }}\n")
    core.foreign |= {(network, PROVEN) for network in theirs}


def test_a_set_of_prefixes_that_others_filled(core: BanCore, node: Host) -> None:
    """Prefixes that no longer fit are refused, the others stand, and neither refreshes nor removals suffer."""
    core.table.make()
    theirs = [f"100.{64 + (number >> 8)}.{number & 255}.0/25" for number in range(MAX_PREFIXES - 3)]
    node.nft(f"add element inet nodewarden ban4_nets {{ {', '.join(theirs)} }}\n")
    core.foreign |= {(parse_network(text), PROVEN) for text in theirs}
    decisions = core.alert(*APART)
    assert len(_refused(decisions)) == len(APART) - 3
    core.check()
    core.check_answers(decisions, {})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("is_new", [False, True])
def test_a_table_that_vanished_before_the_batch(core: BanCore, node: Host, shape: str, is_new: bool) -> None:
    """New bans and later ends set the table up again, with all bans that were in force."""
    networks = SHAPES[shape]
    half = networks[::2]
    core.alert(*half)
    node.nft("flush ruleset\n")
    decisions = core.alert(*networks) if is_new else core.order(*((network, 9000.0) for network in half))
    assert _refused(decisions) == set()
    core.check()


@pytest.mark.parametrize("shape", ["hosts", "many", "apart"])
def test_a_table_that_vanishes_between_new_bans_and_later_ends(
    core: BanCore, node: Host, trouble: Trouble, shape: str
) -> None:
    """A batch of both: what was added before the table vanished is added again."""
    networks = SHAPES[shape]
    old = networks[::2]
    core.order(*((network, 1000.0) for network in old))
    with trouble.of("call", old, times=1, before=lambda: node.nft("flush ruleset\n")):
        decisions = core.order(*((network, 9000.0) for network in networks))
    assert trouble.count
    assert [one.verdict for one in decisions] == [
        Verdict.REFRESH if network in old else Verdict.BAN for network in networks
    ]
    core.check()


def test_a_table_that_vanishes_does_not_bring_back_what_made_room(core: BanCore, node: Host, trouble: Trouble) -> None:
    """The table is filled from the ledger, which knows bans that are about to yield until the batch is settled."""
    core.ledger.max_bans = 4
    core.order(*((network, 500.0) for network in HOSTS[:3]), origin=ClaimOrigin.IMPORT, name="import")
    core.order((HOSTS[3], 500.0))
    with trouble.of("call", HOSTS[4:], times=1, before=lambda: node.nft("flush ruleset\n")):
        decisions = core.alert(*HOSTS[4:])
    assert trouble.count
    assert [one.verdict for one in decisions] == [Verdict.BAN, Verdict.BAN]
    core.check()
    assert len(core.in_kernel()) == 4


@pytest.mark.parametrize("cause", CAUSES)
def test_a_ban_that_made_room_for_nothing_is_back(core: BanCore, trouble: Trouble, cause: str) -> None:
    """The weaker ban yields before the stronger one is tried; where that one is refused, the weaker one stays."""
    core.ledger.max_bans = 4
    core.order(*((network, 500.0) for network in HOSTS[:3]), origin=ClaimOrigin.IMPORT, name="import")
    core.order((HOSTS[3], 500.0))
    before = set(core.in_kernel())
    with trouble.of(cause, HOSTS[4:5]):
        (decision,) = core.alert(HOSTS[4])
    assert decision.verdict is Verdict.REFUSED
    assert set(core.in_kernel()) == before
    core.check()
    assert core.alert(HOSTS[4])[0].verdict is Verdict.BAN
    assert len(core.in_kernel()) == 4
    core.check()


@pytest.mark.parametrize("cause", CAUSES)
def test_five_refused_bans_and_then_one_that_works(core: BanCore, trouble: Trouble, cause: str) -> None:
    """Nothing was in force, so nothing was an offence: the sixth ban has the base time, and is the first offence."""
    core.table.make()
    for _ in range(5):
        with trouble.of(cause, HOSTS[:1]):
            assert core.alert(HOSTS[0])[0].verdict is Verdict.REFUSED
    assert (core.record.offences, core.record.claims, core.latencies, core.cut) == ([], {}, [], [])
    (decision,) = core.alert(HOSTS[0])
    assert decision.verdict is Verdict.BAN
    assert decision.ban is not None
    assert decision.ban.until_s - decision.ban.since_s == BANTIME_S
    assert (decision.step, len(core.record.offences)) == (0, 1)
    core.check()


@pytest.mark.parametrize("is_known", [False, True])
def test_two_hundred_rising_ends_of_one_address_are_one_change(core: BanCore, is_known: bool) -> None:
    """However many orders name one address in a batch, the kernel holds one element, with the ledger's end."""
    network = HOSTS[0]
    if is_known:
        core.order((network, 60.0))
    decisions = core.order(*((network, 3600.0 * (1 + number)) for number in range(200)))
    assert all(one.verdict in (Verdict.BAN, Verdict.REFRESH) for one in decisions)
    ban = core.ledger.get(network, PROVEN)
    assert ban is not None
    assert core.in_kernel() == {(network, PROVEN): pytest.approx(ban.until_s, abs=2)}
    assert ban.until_s - ban.since_s == pytest.approx(200 * 3600, abs=1 if not is_known else 62)
    core.check()


@pytest.mark.parametrize("cause", CAUSES)
def test_a_refused_ban_that_follows_leaves_the_bans_that_led_to_it(node: Host, trouble: Trouble, cause: str) -> None:
    """Three offenders of one prefix: the prefix is refused, the three stay banned, with an offence each."""
    core = BanCore(rules=RULES)
    core.enforcer.flush()
    offenders = HOSTS[:6:2]
    prefix = parse_network("198.51.100.0/24")
    core.table.make()
    with trouble.of(cause, [prefix]):
        decisions = core.alert(*offenders)
    assert trouble.count
    verdicts = {one.network: one.verdict for one in decisions}
    assert verdicts[prefix] is Verdict.REFUSED or (cause, verdicts[prefix]) == ("done", Verdict.BAN)
    assert [verdicts[network] for network in offenders] == [Verdict.BAN] * 3
    assert len(core.record.offences) == 3 + (verdicts[prefix] is Verdict.BAN)
    core.check()
    core.close()


def test_an_undo_that_fails_is_made_good(core: BanCore, trouble: Trouble) -> None:
    """An answer was lost and the ban could not be taken out again: the next second's work does it."""
    core.table.make()
    with trouble.of("done", HOSTS[:1], kinds=(NEW_ELEMENTS,)), pytest.MonkeyPatch.context() as patch:
        patch.setattr(core.enforcer, "remove", _failing)
        assert core.alert(HOSTS[0])[0].verdict is Verdict.REFUSED
    assert len(core.in_kernel()) == 1
    core.tick()
    core.check()
    assert core.in_kernel() == {}


def _failing(*_: object) -> None:
    raise TemporaryError("out of order")


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("networks", [HOSTS[:2], APART[:2], MANY])
def test_an_unban_that_the_kernel_refuses_is_told_and_made_good(
    core: BanCore, trouble: Trouble, networks: tuple[Network, ...], cause: str
) -> None:
    """Who orders it sees the error; what stays in the kernel goes within a second."""
    core.alert(*networks)
    with trouble.of(cause, networks[:1], kinds=(DEL_ELEMENTS,)):
        try:
            core.bans.unban(networks, core.now())
        except NodewardenError:
            is_told = True
        else:
            is_told = False
    assert trouble.count
    assert is_told or core.in_kernel() == {}
    core.tick()
    core.check()
    assert core.in_kernel() == {}


@pytest.mark.parametrize("cause", CAUSES)
def test_an_unban_that_cannot_shorten_leaves_the_rest(core: BanCore, trouble: Trouble, cause: str) -> None:
    """A peer's claim holds a ban for less long; if the kernel refuses the earlier end, the ban is not forgotten."""
    network = HOSTS[0]
    core.order((network, 500.0), origin=ClaimOrigin.PEER, name="other")
    core.order((network, 5000.0))
    with trouble.of(cause, [network]):
        core.bans.unban([network], core.now())
    core.tick()
    assert core.ledger.get(network, PROVEN) is not None
    core.check()


@pytest.mark.parametrize("cause", ["busy", "undone", "done"])
def test_a_flush_that_fails_ends_nothing(
    core: BanCore, trouble: Trouble, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-way is worst: either all bans are gone everywhere, or all are in force again within a second."""
    core.alert(*HOSTS)
    flush = core.enforcer.flush

    def fail() -> None:
        if cause == "done":
            flush()
        _failing()

    with monkeypatch.context() as patch:
        patch.setattr(core.enforcer, "flush", fail)
        with pytest.raises(NodewardenError):
            core.bans.flush(core.now())
    core.tick()
    core.check()
    assert len(core.in_kernel()) == len(HOSTS)
    core.bans.flush(core.now())
    core.check()
    assert len(core.ledger) == 0


def test_networks_allowed_while_the_table_is_gone(core: BanCore, node: Host) -> None:
    """The table comes back with the allowlist and without the bans that it now forbids."""
    core.alert(*HOSTS)
    node.nft("flush ruleset\n")
    core.table.allow([HOSTS[0]], core.now())
    core.bans.lift([ban for ban in core.ledger.bans() if ban.network == HOSTS[0]], core.now())
    core.check()
    assert len(core.in_kernel()) == len(HOSTS) - 1


@pytest.mark.parametrize("cause", CAUSES)
def test_bans_lost_when_the_table_is_set_up_again(core: BanCore, node: Host, trouble: Trouble, cause: str) -> None:
    """What is refused when the table is filled again is over everywhere, and counted as refused."""
    core.alert(*HOSTS)
    node.nft("flush ruleset\n")
    with trouble.of(cause, HOSTS[:1]):
        core.alert(MANY[0])
    core.tick()
    core.check()
    assert (core.metrics.ended_bans["refused"], len(core.in_kernel())) == (1, len(HOSTS))  # type: ignore[index]


def test_a_claim_on_a_ban_that_is_lost_in_the_same_batch_is_refused(
    core: BanCore, node: Host, trouble: Trouble
) -> None:
    """A ban that a batch relies on may turn out to be lost while the table is set up for the rest of the batch."""
    core.order((HOSTS[0], 5000.0))
    node.nft("flush ruleset\n")
    draft = core.policy.draft(core.now())
    core.policy.order(draft, HOSTS[0], PROVEN, 60.0, "test", ClaimOrigin.PEER, "other")
    core.policy.order(draft, HOSTS[2], PROVEN, 60.0, "test")
    with trouble.of("busy", HOSTS[:1]):
        decisions = core.bans.carry_out(draft)
    assert [one.verdict for one in decisions] == [Verdict.REFUSED, Verdict.BAN]
    core.tick()
    core.check()


def test_a_table_that_could_not_be_filled_is_filled_later(
    core: BanCore, node: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that was made and not filled is not in place."""
    core.alert(*HOSTS)
    node.nft("flush ruleset\n")
    core.table.counters()
    with monkeypatch.context() as patch:
        patch.setattr(core.enforcer, "add", _failing)
        core.tick()
    core.tick()
    core.check()
    assert len(core.in_kernel()) == len(HOSTS)
