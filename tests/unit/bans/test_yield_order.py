"""Where there is no room the lowest claim yields, and of one rank the one that ends first, whenever it came."""

from collections.abc import Container, Sequence

import pytest

from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import DetectorPolicy, Rules
from monitor.bans.weakest import Candidate, WeakestBans
from monitor.model.addresses import Network, host
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode
from tests.support.policy import decide, order, settle_all

PROVEN = Strength.PROVEN
EVIDENCE = Evidence(5, 5, 600.0, 0.0, 1.0, "failures")
LOWEST_FIRST = tuple(ClaimOrigin)


def policy(max_bans: int, max_prefixes: int = 1000) -> Policy:
    """Return a policy with one detector and no budget to speak of."""
    rules = Rules({"sshd": DetectorPolicy(Mode.ENFORCE, 600.0)}, bans_per_minute=1_000_000)
    return Policy(Guard([]), Ledger(max_bans=max_bans, max_prefixes=max_prefixes), rules, lambda: 0.0)


def numbered(number: int) -> Network:
    """Return an address."""
    return host((0x0B000000 + number).to_bytes(4))


def fill(ledger: Ledger, numbers: Sequence[int], origin: ClaimOrigin, until_s: float = 1000.0) -> None:
    """Enter bans that end one second after another."""
    for n, number in enumerate(numbers):
        ledger.put(Ban(numbered(number), PROVEN, 0.0, until_s + n, origin.value, "", Mode.ENFORCE, origin))


def alert(network: Network) -> Alert:
    """Return a proven alert."""
    return Alert("sshd", 0.0, network.address, network, True, PROVEN, EVIDENCE)


def propose_all(some: Policy, numbers: Sequence[int]) -> list[Decision]:
    """Have many offenders banned in one batch."""
    draft = some.draft(0.0)
    for number in numbers:
        some.propose(draft, alert(numbered(number)))
    return settle_all(some, draft)


def test_the_lowest_origin_yields_first_and_of_one_origin_what_ends_first() -> None:
    """Shuns, lists, imports and peers yield to proof in this order; a ban's own rank never does."""
    some = policy(max_bans=11)
    some.ledger.put(Ban(numbered(99), Strength.SPOOFABLE, 0.0, 1e6, "scan", ""))
    for index, origin in enumerate(LOWEST_FIRST):
        fill(some.ledger, (10 * index, 10 * index + 1), origin, until_s=1000.0 - 100 * index)
    gone = [one.yielding for one in propose_all(some, range(200, 208))]
    assert [(ban.network if ban else None) for ban in gone] == [
        *map(numbered, (99, 0, 1, 10, 11, 20, 21)),
        None,
    ]
    (refused,) = decide(some, alert(numbered(300)), 0.0)
    assert refused.verdict is Verdict.FULL
    by_hand = order(some, numbered(301), PROVEN, 60.0, 0.0)
    assert by_hand.yielding is not None
    assert by_hand.yielding.until_s == 600.0  # of the detectors' bans, two end at 700 s


def test_what_comes_later_and_is_weaker_yields_first() -> None:
    """A list that is entered after somebody asked who yields does so before the imports that were known then."""
    some = policy(max_bans=6)
    fill(some.ledger, range(6), ClaimOrigin.IMPORT)
    assert decide(some, alert(numbered(100)), 0.0)[0].yielding is not None
    some.ledger.remove(numbered(5), PROVEN)
    fill(some.ledger, [50], ClaimOrigin.LIST, until_s=5000.0)
    yielding = decide(some, alert(numbered(101)), 0.0)[0].yielding
    assert yielding is not None
    assert yielding.network == numbered(50)


def test_searches_do_not_grow_with_the_number_of_bans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each walks all bans: after `max_bans` was reduced, a start has hundreds of thousands yield."""
    monkeypatch.setattr("monitor.bans.weakest._LEAST_CANDIDATES", 4)
    find = WeakestBans._search
    searches = 0

    def counted(weakest: WeakestBans, kind: int | None, taken: Container[bytes]) -> list[Candidate]:
        nonlocal searches
        searches += 1
        return find(weakest, kind, taken)

    monkeypatch.setattr(WeakestBans, "_search", counted)
    needed = []
    for count in (1000, 8000):
        ledger, searches = Ledger(max_bans=count), 0
        fill(ledger, range(count), LOWEST_FIRST[0])
        for _ in range(count // 2):
            weakest = ledger.weakest(1000)
            assert weakest is not None
            ledger.remove(weakest.network, weakest.strength)
        needed.append(searches)
    assert needed[1] <= needed[0] + 1
