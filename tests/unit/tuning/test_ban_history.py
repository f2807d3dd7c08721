"""The bans of a replay, as a listener of the real policy keeps them."""

from monitor.bans.decision import Decision, Ended, Ending, Verdict
from monitor.daemon.tuning.ban_history import BanCollector
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, ClaimOrigin, Mode

A = parse_network("192.0.2.7")


def claim(since_s: float, length_s: float = 600.0, mode: Mode = Mode.ENFORCE, number: int = 7) -> Ban:
    """Return a claim of a detector."""
    network = parse_network(f"192.0.2.{number}")
    return Ban(network, Strength.PROVEN, since_s, since_s + length_s, "sshd", "5 failures", mode)


def settle(collector: BanCollector, verdict: Verdict, ban: Ban, *, is_paid: bool = False) -> None:
    """Have a decision settled at the start of its claim."""
    collector.now_s = ban.since_s
    collector.settled([Decision(verdict, ban.network, ban.detector, ban, ban, is_paid=is_paid)], ban.since_s)


def spans(collector: BanCollector) -> list[tuple[float, float, bool]]:
    """Return start, end and whether it was only observed, of each ban."""
    return [(span.since_s, span.until_s, span.is_observed) for span in collector.history(60).spans]


def test_a_refresh_lengthens_and_a_ban_after_the_end_is_another_one() -> None:
    """One span for each time that the source was kept out."""
    collector = BanCollector()
    settle(collector, Verdict.BAN, claim(1000.0))
    settle(collector, Verdict.REFRESH, claim(1300.0))
    collector.ended([Ended(claim(1300.0), (), Ending.EXPIRED)])
    settle(collector, Verdict.BAN, claim(5000.0))
    assert spans(collector) == [(1000.0, 1900.0, False), (5000.0, 5600.0, False)]


def test_an_early_end_cuts_and_another_claim_keeps() -> None:
    """A ban that was withdrawn ends then; what another claim still holds ends with that."""
    collector = BanCollector()
    settle(collector, Verdict.BAN, claim(1000.0))
    collector.ended([Ended(claim(1000.0), (), Ending.LIFTED, claim(1000.0, 300.0))])
    assert spans(collector) == [(1000.0, 1300.0, False)]
    collector.now_s = 1100.0
    collector.ended([Ended(claim(1000.0), (), Ending.WITHDRAWN)])
    assert spans(collector) == [(1000.0, 1100.0, False)]


def test_observed_bans_orders_and_refusals() -> None:
    """Observed ones are kept apart; what people order and what the kernel refuses is no ban of a detector."""
    collector = BanCollector()
    settle(collector, Verdict.OBSERVE, claim(1000.0, mode=Mode.OBSERVE))
    settle(collector, Verdict.OVER_BUDGET, claim(1000.0, mode=Mode.OBSERVE, number=8))
    order = Ban(A, Strength.PROVEN, 1.0, 9.0, "manual", "", Mode.ENFORCE, ClaimOrigin.OPERATOR)
    settle(collector, Verdict.BAN, order)
    collector.settled([Decision(Verdict.REFUSED, A, "sshd", claim(1000.0))], 1000.0)
    assert spans(collector) == [(1000.0, 1600.0, True), (1000.0, 1600.0, True)]
    assert collector.history(60).spared == {"over_budget": 1, "refused": 1}
    assert collector.history(60).budget.refused == 1


def test_the_peak_of_the_budget_is_that_of_any_minute() -> None:
    """What counts is a moving minute, and a clock that was set back starts another."""
    collector = BanCollector()
    for number, time_s in enumerate((1000.0, 1030.0, 1059.0, 1075.0, 1089.0, 500.0)):
        settle(collector, Verdict.BAN, claim(time_s, number=number), is_paid=True)
    assert collector.history(60).budget.peak == 4


def test_a_clock_that_is_set_moves_the_ends() -> None:
    """A ban in force keeps the time that it had left."""
    collector = BanCollector()
    settle(collector, Verdict.BAN, claim(1000.0))
    collector.moved([claim(5000.0)])
    assert spans(collector) == [(1000.0, 5600.0, False)]


def test_bans_beyond_the_bound_are_counted() -> None:
    """Memory is bounded, and what is left out is said."""
    collector = BanCollector(max_spans=3)
    for number in range(5):
        settle(collector, Verdict.BAN, claim(1000.0, number=number))
    settle(collector, Verdict.REFRESH, claim(1100.0, number=0))
    assert len(spans(collector)) == 3
    assert spans(collector)[0][1] == 1700.0
    assert collector.history(60).omitted == 2
