"""How much of the Internet an allowlist takes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bans.breadth import LIMIT, breadth
from monitor.bans.guard import Guard
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import AllowEntry


def networks(*texts: str) -> list[Network]:
    """Parse networks."""
    return [parse_network(text) for text in texts]


@pytest.mark.parametrize(
    "texts",
    [
        ("0.0.0.0/0",),
        ("::/0",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("2000::/3",),
        ("2000::/4", "3000::/5"),
        ("64.0.0.0/4",),
        tuple(f"{first}.0.0.0/8" for first in range(20, 40)),
        ("192.0.2.1", "::/1"),
    ],
)
def test_too_much_is_a_problem(texts: tuple[str, ...]) -> None:
    """The whole, halves that add up to it, and anything of more than the limit."""
    assert "none of their sources can be banned" in breadth(networks(*texts)).problem


@pytest.mark.parametrize(
    "texts",
    [
        (),
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
        ("16.0.0.0/5", "10.0.0.0/8", "10.0.0.0/9"),
        ("2001::/20", "fe80::/10", "ff00::/8"),
        ("224.0.0.0/3",),
    ],
)
def test_private_and_single_networks_are_none(texts: tuple[str, ...]) -> None:
    """All private networks and a large provider are fine; what lies in another or is no unicast does not count."""
    assert breadth(networks(*texts)).problem == ""


@given(st.integers(0, 12))
def test_parts_are_as_much_as_the_whole(length: int) -> None:
    """All networks of one length add up to everything, whatever that length."""
    parts = [Network((number << (32 - length)).to_bytes(4), length) for number in range(1 << length)]
    assert breadth(parts).ipv4 == pytest.approx(1.0)
    assert breadth(parts[:1]).ipv4 <= 1.0


def test_what_is_always_allowed_does_not_count() -> None:
    """Multicast, reserved addresses and loopback are more than a tenth of IPv4, and no operator chose them."""
    guard = Guard([AllowEntry(parse_network("192.0.2.0/24"), "test")])
    assert 0 < guard.breadth.ipv4 < LIMIT
    assert guard.breadth.problem == ""
