"""Claims: whoever withdraws one ends that one only, and what comes by the thousand leaves room for what matters."""

from collections import Counter
from collections.abc import Callable, Container

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans.claims import claim_rank
from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimKey, ClaimOrigin, Mode, claim_key
from tests.support.ban_core import BANTIME_S, RULES, alert_on
from tests.support.policy import decide, order

NOW_S = 1_700_000_000.0
PROVEN = Strength.PROVEN
NETWORKS = tuple(map(parse_network, ("192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32")))
ORIGINS = tuple(
    (ClaimOrigin(origin), name)
    for origin, name in (
        ("detector", "sshd"),
        ("detector", "scan"),
        ("operator", "manual"),
        ("import", "import"),
        ("list", "drop"),
        ("peer", "a"),
        ("peer", "b"),
    )
)
PUT = st.tuples(
    st.just("put"),
    st.sampled_from(NETWORKS),
    st.sampled_from((PROVEN, Strength.SPOOFABLE)),
    st.sampled_from(ORIGINS),
    st.sampled_from(Mode),
    st.integers(1, 5000),
)
WITHDRAW = st.tuples(st.just("withdraw"), st.sampled_from(NETWORKS), st.sampled_from(ORIGINS))
STEPS = st.lists(
    st.one_of(
        PUT,
        PUT,
        WITHDRAW,
        st.tuples(st.just("unban"), st.sampled_from(NETWORKS)),
        st.tuples(st.just("pass"), st.integers(1, 3000)),
        st.tuples(st.just("shift"), st.integers(-5000, 5000)),
    ),
    max_size=60,
)


class _Model:
    """Claims in one flat dictionary."""

    def __init__(self) -> None:
        self.claims: dict[ClaimKey, Ban] = {}
        self.now_s = NOW_S

    def put(self, claim: Ban) -> None:
        self.claims[claim_key(claim)] = claim

    def withdraw(self, network: Network, which: tuple[tuple[ClaimOrigin, str], ...]) -> None:
        self.claims = {
            key: claim
            for key, claim in self.claims.items()
            if claim.network != network or (claim.origin, claim.detector) not in which
        }

    def expire(self) -> None:
        self.claims = {key: claim for key, claim in self.claims.items() if claim.until_s > self.now_s}

    def shift(self, step_s: float) -> None:
        self.now_s += step_s
        self.claims = {
            key: _ban(claim.network, claim.strength, (claim.origin, claim.detector), claim.mode, claim.until_s + step_s)
            for key, claim in self.claims.items()
        }

    def held(self) -> dict[tuple[Network, Strength], list[Ban]]:
        held: dict[tuple[Network, Strength], list[Ban]] = {}
        for claim in self.claims.values():
            held.setdefault((claim.network, claim.strength), []).append(claim)
        return held


def _ban(network: Network, strength: Strength, who: tuple[ClaimOrigin, str], mode: Mode, until_s: float) -> Ban:
    return Ban(network, strength, NOW_S, until_s, who[1], "", mode, who[0])


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_the_ledger_follows_a_simple_model(steps: list[tuple[object, ...]]) -> None:
    """Random claims, withdrawals, ends and clocks: the latest enforced claim is the end, and the counts are a recount.

    Where none is enforced, the latest observed one counts.
    """
    ledger, model = Ledger(max_bans=1000), _Model()
    for what, *rest in steps:
        _step(ledger, model, what, *rest)
        model.expire()
        ledger.expire(model.now_s)
        _compare(ledger, model)


def _step(ledger: Ledger, model: _Model, what: object, *rest: object) -> None:
    match what, *rest:
        case "put", Network() as network, Strength() as strength, who, Mode() as mode, int(bantime_s):
            claim = _ban(network, strength, who, mode, model.now_s + bantime_s)  # type: ignore[arg-type]
            model.put(claim)
            ledger.put(claim, model.now_s)
        case "withdraw", Network() as network, who:
            model.withdraw(network, (who,))  # type: ignore[arg-type]
            for strength in Strength:
                ledger.withdraw(network, strength, lambda claim: (claim.origin, claim.detector) == who, model.now_s)
        case "unban", Network() as network:
            model.withdraw(network, tuple(one for one in ORIGINS if one[0].is_local))
            for strength in Strength:
                ledger.withdraw(network, strength, lambda claim: claim.origin.is_local, model.now_s)
        case "pass", int(seconds):
            model.now_s += seconds
        case "shift", int(seconds):
            model.shift(seconds)
            ledger.shift(seconds, model.now_s, model.now_s)


def _compare(ledger: Ledger, model: _Model) -> None:
    held = model.held()
    assert {(ban.network, ban.strength) for ban in ledger.bans()} == set(held)
    kinds: Counter[tuple[Mode, Strength]] = Counter()
    sets: Counter[tuple[Strength, int, bool]] = Counter()
    for (network, strength), claims in held.items():
        enforced = [claim for claim in claims if claim.mode is Mode.ENFORCE]
        ban = ledger.get(network, strength)
        assert ban is not None
        assert ban.until_s == max(claim.until_s for claim in enforced or claims)
        assert ban.mode is (Mode.ENFORCE if enforced else Mode.OBSERVE)
        found = {claim_key(claim): claim.until_s for claim in ledger.claims(network, strength)}
        assert found == {claim_key(claim): claim.until_s for claim in claims}
        kinds[ban.mode, strength] += 1
        sets[strength, network.bits, not network.is_host] += bool(enforced)
    assert ledger.bulk == sum(_is_bulk(claims) for claims in held.values())
    for strength in Strength:
        for mode in Mode:
            assert ledger.count(mode, strength) == kinds[mode, strength]
        for bits in (32, 128):
            for prefixes in (False, True):
                assert ledger.count_in_set(strength, bits, prefixes=prefixes) == sets[strength, bits, prefixes]
    everything = [claim for claims in held.values() for claim in claims]
    assert Counter(map(claim_key, ledger.all_claims())) == Counter(map(claim_key, everything))
    for origin in ClaimOrigin:
        found_of = Counter(map(claim_key, ledger.claims_from((origin,))))
        assert found_of == Counter(claim_key(claim) for claim in everything if claim.origin is origin)
    weakest = ledger.weakest(99)
    ranks = [_rank(claims) for claims in held.values() if _rank(claims)]
    assert ledger.in_force == len(ranks)
    assert (weakest is None) is (not ranks)
    if weakest is not None:
        assert _rank(held[weakest.network, weakest.strength]) == min(ranks)
        assert ledger.weakest(min(ranks)) is None


def _rank(claims: list[Ban]) -> int:
    if all(claim.mode is Mode.OBSERVE for claim in claims):
        return 0
    return max(claim_rank(claim) for claim in claims)


def _is_bulk(claims: list[Ban]) -> bool:
    holding = [claim for claim in claims if claim.mode is Mode.ENFORCE]
    return bool(holding) and all(claim.origin.is_bulk for claim in holding)


def _policy(max_bans: int, max_prefixes: int = 1000) -> Policy:
    return Policy(Guard([]), Ledger(max_bans=max_bans, max_prefixes=max_prefixes), RULES)


def _address(number: int) -> Network:
    return parse_network(f"198.18.{number >> 8}.{number & 255}")


def _prefix(number: int) -> Network:
    return parse_network(f"10.{number}.0.0/16")


def _put(policy: Policy, network: Network, origin: ClaimOrigin, bantime_s: float = 1000.0) -> Decision:
    return order(policy, network, PROVEN, bantime_s, NOW_S, origin, str(origin))


@pytest.mark.parametrize("of", [_address, _prefix])
@pytest.mark.parametrize("origin", [ClaimOrigin.IMPORT, ClaimOrigin.LIST, ClaimOrigin.PEER])
def test_what_comes_by_the_thousand_leaves_a_quarter(origin: ClaimOrigin, of: Callable[[int], Network]) -> None:
    """Imports, lists and peers stop at three quarters; detectors and operators get the rest, and then make it yield."""
    policy = _policy(40) if of is _address else _policy(1000, 40)
    verdicts = Counter(_put(policy, of(number), origin).verdict for number in range(60))
    assert verdicts == {Verdict.BAN: 30, Verdict.FULL: 30}
    for number in range(60, 100):
        wanted = ClaimOrigin.OPERATOR if number % 2 else ClaimOrigin.DETECTOR
        assert _put(policy, of(number), wanted).verdict is Verdict.BAN
    assert len(policy.ledger) == 40
    assert policy.ledger.bulk == 0
    assert _put(policy, of(100), ClaimOrigin.DETECTOR).verdict is Verdict.FULL


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_the_lowest_origin_with_the_shortest_time_yields(is_one_batch: bool) -> None:
    """Shuns before lists, imports, peers, detectors; among equals the one that ends first; nobody for an equal."""
    policy = _policy(10)
    policy.ledger.put(Ban(_address(0), Strength.SPOOFABLE, NOW_S, NOW_S + 9e6, "scan", ""), NOW_S)
    order_ = [ClaimOrigin.LIST, ClaimOrigin.IMPORT, ClaimOrigin.PEER, ClaimOrigin.DETECTOR]
    number = 1
    for origin in order_:
        for bantime_s in (9000.0 + number, 500.0 + number):
            assert _put(policy, _address(number), origin, bantime_s).verdict is Verdict.BAN
            number += 1
    assert _put(policy, _address(number), ClaimOrigin.OPERATOR).verdict is Verdict.BAN
    expected = [_address(one) for one in (0, 2, 1, 4, 3, 6, 5, 8, 7)]
    if is_one_batch:
        draft = policy.draft(NOW_S)
        for fresh in range(100, 110):
            policy.order(draft, _address(fresh), PROVEN, 1000.0, "")
        decisions = policy.settle(draft, {}).decisions
    else:
        decisions = [_put(policy, _address(fresh), ClaimOrigin.OPERATOR) for fresh in range(100, 110)]
    yielded = [one.yielding.network for one in decisions if one.yielding]
    assert yielded == expected
    assert decisions[-1].verdict is Verdict.FULL
    assert len(policy.ledger) == 10


def test_a_ban_that_yielded_and_is_claimed_again_in_the_same_batch_is_one_ban() -> None:
    """What made room may be wanted anew by a stronger origin a moment later: one ban, one offence."""
    policy = _policy(2)
    for number in (1, 2):
        who = ClaimOrigin.IMPORT, "import"
        policy.ledger.put(_ban(_address(number), PROVEN, who, Mode.ENFORCE, NOW_S + 100 * number), NOW_S)
    draft = policy.draft(NOW_S)
    policy.order(draft, _address(3), PROVEN, 1000.0, "")
    for _ in range(2):
        policy.propose(draft, alert_on(_address(1), NOW_S))
    changes = draft.changes()
    assert {ban.network for ban in changes.new} == {_address(3), _address(1)}
    assert changes.longer == []
    decisions = policy.settle(draft, {}).decisions
    assert [one.verdict for one in decisions] == [Verdict.BAN, Verdict.BAN, Verdict.COVERED]
    assert [one.offence is not None for one in decisions if one.alert] == [True, False]
    assert {ban.network for ban in policy.ledger.bans()} == {_address(3), _address(1)}


def test_two_alerts_of_one_burst_are_one_offence() -> None:
    """A first offender's second alert, 13 ms later, has the base time, in the same batch or in the next one."""
    for is_one_batch in (False, True):
        policy = _policy(10)
        alerts = [alert_on(_address(1), NOW_S), alert_on(_address(1), NOW_S + 0.013)]
        if is_one_batch:
            draft = policy.draft(NOW_S + 0.02)
            for alert in alerts:
                policy.propose(draft, alert)
            decisions = policy.settle(draft, {}).decisions
        else:
            decisions = [decide(policy, alert, alert.time_s)[0] for alert in alerts]
        assert sum(one.offence is not None for one in decisions) == 1
        ban = policy.ledger.get(_address(1), PROVEN)
        assert ban is not None
        assert ban.until_s - ban.since_s == pytest.approx(BANTIME_S, abs=0.02)
        again_s = ban.until_s + 1
        policy.ledger.expire(again_s)
        (second,) = decide(policy, alert_on(_address(1), again_s), again_s)
        assert second.ban is not None
        assert second.ban.until_s - second.ban.since_s == 2 * BANTIME_S
        assert (second.step, second.verdict) == (1, Verdict.BAN)


def test_a_full_ledger_refuses_without_a_walk() -> None:
    """When nobody is weaker a refusal looks at no ban: an attack by the thousand meets a full ledger."""
    policy = _policy(50)
    for number in range(50):
        _put(policy, _address(number), ClaimOrigin.DETECTOR)
    walks = 0
    weakest = policy.ledger._weakest
    find = weakest._search

    def counted(kind: int | None, taken: Container[bytes]) -> list[tuple[int, float, bytes]]:
        nonlocal walks
        walks += 1
        return find(kind, taken)

    weakest._search = counted  # type: ignore[method-assign]
    for number in range(100, 200):
        assert _put(policy, _address(number), ClaimOrigin.DETECTOR).verdict is Verdict.FULL
    assert walks == 0
