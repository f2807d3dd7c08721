"""What the store remembers and what the kernel holds become one ledger."""

from monitor.bans.merge import RESTORED, merge
from monitor.model.addresses import parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import Ban, Held, Mode

PROVEN = Strength.PROVEN


def ban(text: str, until_s: float, mode: Mode = Mode.ENFORCE) -> Ban:
    """Return a stored ban."""
    return Ban(parse_network(text), PROVEN, 0.0, until_s, "sshd", "why", mode)


def held(text: str, until_s: float) -> Held:
    """Return what the kernel holds."""
    return Held(parse_network(text), PROVEN, until_s)


def merged(stored: list[Ban], kernel: list[Held]) -> dict[str, tuple[str, float, bool]]:
    """Return detector, end and whether the store must learn of it, by network; now is 100."""
    result = list(merge(stored, kernel, 100.0))
    assert len({(one.ban.network, one.ban.strength) for one in result}) == len(result)
    return {str(one.ban.network): (one.ban.detector, one.ban.until_s, one.is_news) for one in result}


def test_after_a_reboot_the_store_knows_alone() -> None:
    """What is stored and not over is in force again, observed bans included; what is over is gone."""
    stored = [ban("192.0.2.1", 500.0), ban("192.0.2.2", 99.0), ban("192.0.2.3", 500.0, Mode.OBSERVE)]
    assert merged(stored, []) == {"192.0.2.1": ("sshd", 500.0, False), "192.0.2.3": ("sshd", 500.0, False)}


def test_after_a_kill_the_kernel_may_know_more() -> None:
    """A ban that was not stored yet is adopted; a later end that was not stored yet is kept."""
    assert merged([ban("192.0.2.1", 500.0)], [held("192.0.2.1", 900.0), held("192.0.2.9", 700.0)]) == {
        "192.0.2.1": ("sshd", 900.0, True),
        "192.0.2.9": (RESTORED, 700.0, True),
    }


def test_a_clock_that_is_behind_lengthens_nothing() -> None:
    """A ban that began in the future, by a clock that lost its time, lasts as long as it was meant to, from now on."""
    ahead = Ban(parse_network("192.0.2.1"), PROVEN, 5000.0, 5600.0, "sshd", "why")
    assert merged([ahead], []) == {"192.0.2.1": ("sshd", 700.0, False)}
    assert merged([ahead], [held("192.0.2.1", 300.0)]) == {"192.0.2.1": ("sshd", 700.0, False)}


def test_rounding_lengthens_nothing() -> None:
    """An end that differs by milliseconds is the stored one, restart after restart."""
    assert merged([ban("192.0.2.1", 500.0)], [held("192.0.2.1", 500.8)]) == {"192.0.2.1": ("sshd", 500.0, False)}


def test_pieces_of_a_stored_prefix_are_no_bans_of_their_own() -> None:
    """The kernel holds overlapping prefixes as pieces; those inside a stored prefix are known by it."""
    stored = [ban("198.51.100.0/24", 500.0), ban("198.51.100.0/28", 900.0)]
    pieces = [held("198.51.100.0/28", 900.0), held("198.51.100.16/28", 500.0), held("198.51.100.128/25", 500.0)]
    assert set(merged(stored, pieces)) == {"198.51.100.0/24", "198.51.100.0/28"}
    assert set(merged([], pieces)) == {"198.51.100.0/28", "198.51.100.16/28", "198.51.100.128/25"}


def test_kinds_of_one_network_are_told_apart() -> None:
    """An egress ban that only the kernel knows is adopted as one, beside the stored ban of the same address."""
    network = parse_network("192.0.2.1")
    wide = Ban(parse_network("192.0.2.0/24"), PROVEN, 0.0, 900.0, "sshd", "why")
    kernel = [held("192.0.2.1", 500.0), held("192.0.2.0/24", 900.0), Held(network, Strength.DESTINATION, 800.0)]
    joined = [one.ban for one in merge([ban("192.0.2.1", 500.0), wide], kernel, 100.0)]
    assert {(str(one.network), one.word): (one.detector, one.until_s) for one in joined} == {
        ("192.0.2.1", "ban"): ("sshd", 500.0),
        ("192.0.2.0/24", "ban"): ("sshd", 900.0),
        ("192.0.2.1", "egress"): (RESTORED, 800.0),
    }
