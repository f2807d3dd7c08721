"""Pseudonyms preserve prefixes, are one to one, depend on the key, and leave nothing of the site in a recording."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from monitor.model.addresses import Network, format_address, network_of, parse_address, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import AllowEntry, ban_key
from monitor.recording.anonymous import Anonymous
from monitor.recording.inputs import Configured, Events, Gap, Input, Lost, Surrounded
from monitor.recording.pseudonyms import FIXED, MEANT, Pseudonyms
from tests.support.events import failure, tcp
from tests.support.inputs import inputs

_KEY, _OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
_ONE, _OTHER = Pseudonyms(_KEY), Pseudonyms(_OTHER_KEY)
_ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=16),
    st.sampled_from([network.address for network in (*MEANT, *FIXED)]),
    st.builds(lambda network, tail: (network.address[:1] + tail)[: len(network.address)],
              st.sampled_from([*MEANT, *FIXED]), st.binary(min_size=15, max_size=15)),
)  # fmt: skip


def _common(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix in bits."""
    return len(one) * 8 - (int.from_bytes(one) ^ int.from_bytes(other)).bit_length()


@given(st.data())
def test_the_common_prefix_keeps_its_length(data: st.DataObject) -> None:
    """Also close to networks that are mapped onto themselves; so different addresses stay different."""
    one = data.draw(_ADDRESSES)
    shared = data.draw(st.integers(0, len(one) * 8 - 1))
    tail = data.draw(st.binary(min_size=len(one), max_size=len(one)))
    bits = len(one) * 8
    mask = (1 << (bits - shared)) - 1
    other = (int.from_bytes(one) & ~mask | int.from_bytes(tail) & mask).to_bytes(len(one))
    assert _common(_ONE.address(one), _ONE.address(other)) == _common(one, other)
    assert len(_ONE.address(one)) == len(one)


def test_every_value_of_a_byte_is_reached_once() -> None:
    """One to one, seen whole: the 256 addresses of a /24 become those of another /24."""
    mapped = {_ONE.address(bytes([198, 51, 100, last])) for last in range(256)}
    assert len(mapped) == 256
    assert len({address[:3] for address in mapped}) == 1


@given(_ADDRESSES)
def test_what_a_network_means_stays(address: bytes) -> None:
    """Loopback, link-local and multicast addresses stay; private ones stay private, and no other becomes one."""
    mapped = _ONE.address(address)
    for network in MEANT:
        assert network.contains(mapped) == network.contains(address)
    for network in FIXED:
        assert network.contains(mapped) == network.contains(address)
        if network.contains(address):
            assert mapped == address


def test_another_key_gives_other_pseudonyms() -> None:
    """The same key gives the same ones in another process, too."""
    addresses = [bytes([203, 0, third, 7]) for third in range(64)]
    assert [_ONE.address(one) for one in addresses] == [Pseudonyms(_KEY).address(one) for one in addresses]
    assert sum(_ONE.address(one) != _OTHER.address(one) for one in addresses) > 60
    assert _ONE.word("user", "alice") != _OTHER.word("user", "alice")


@given(_ADDRESSES, st.integers(0, 128))
def test_a_network_holds_the_pseudonyms_of_its_addresses(address: bytes, length: int) -> None:
    """Allowlists and bans of prefixes mean the same hosts as before."""
    assume(length <= len(address) * 8)
    assert _ONE.network(network_of(address, length)).contains(_ONE.address(address))


@pytest.mark.parametrize("key", [b"", b"short", bytes(15)])
def test_a_short_key_is_refused(key: bytes) -> None:
    """An empty key file is a mistake, and no key."""
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Pseudonyms(key)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("192.0.2.7: File exists", ": File exists"),
        ("of 2001:db8::7, or 2001:db8::/32.", ", or "),
        ("at 12:30 it was 3.14", "at 12:30 it was 3.14"),
        ("mac 52:54:00:12:34:56", "mac 52:54:00:12:34:56"),
    ],
)
def test_addresses_in_texts_are_replaced(text: str, kept: str) -> None:
    """Whatever stands around them; times and numbers are no addresses."""
    mapped = _ONE.text(text)
    assert kept in mapped
    for secret in ("192.0.2.7", "2001:db8"):
        assert secret not in mapped


def _texts(value: Any) -> list[str]:
    """Return all texts and bytes in a value, bytes as hexadecimal digits."""
    plain = msgspec.to_builtins(value, builtin_types=(bytes,))
    found: list[str] = []
    stack = [plain]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple):
            stack += one
        elif isinstance(one, bytes):
            found.append(one.hex())
        elif isinstance(one, str):
            found.append(one)
    return found


@given(inputs())
def test_every_input_has_a_rule(one: Input) -> None:
    """A new type of input or event must say what becomes of it; times and type stay."""
    mapped = Anonymous(_ONE).input(one)
    assert type(mapped) in (type(one), Gap)  # a gap for made-up addresses of lengths that there are not
    assert mapped.time_s == one.time_s


@example("alice", "198.51.100.77", "2001:db8:77::1")
@given(st.just("alice"), st.just("203.0.113.9"), st.just("2001:db8:9::1"))
def test_nothing_of_the_site_is_left(user: str, four: str, six: str) -> None:
    """User, log line, address in text and bytes, reasons of people, hardware address: none is in the result."""
    network = Network(parse_address(four), 32)
    told: list[Input] = [
        Events(
            1.0, [failure(four, user=user, line=f"failed password for {user} from {four}", log=f"/home/{user}/log")]
        ),
        Events(1.0, [tcp(six, 22, mac="52:54:00:aa:bb:cc:52:54:00:dd:ee:ff:86:dd", to=six)]),
        Configured(1.0, {"bans": {"allowlist": [four, f"{six}/128"]}, "x": {f"{four}/32": [f"see {six}"]}}, "d"),
        Surrounded(1.0, [AllowEntry(network, f"the session of {user} from {four}")]),
        Lost(1.0, {ban_key(network, Strength.PROVEN): f"{four}: busy"}),
    ]
    for one in told:
        texts = " ".join(_texts(Anonymous(_ONE).input(one)))
        for secret in (user, four, six, parse_address(four).hex(), parse_address(six).hex(), "aa:bb:cc"):
            assert secret not in texts


def test_what_decisions_depend_on_stays() -> None:
    """The node's own addresses are known as such, a broadcast stays one, and a protected host stays protected."""
    anonymous = Anonymous(_ONE, ("an address of this node",))
    own = AllowEntry(parse_network("198.51.100.1"), "an address of this node")
    (mapped,) = anonymous.input(Surrounded(1.0, [own])).entries  # type: ignore[union-attr]
    assert mapped.reason == own.reason
    assert mapped.network.address == _ONE.address(own.network.address)
    configured = anonymous.input(Configured(1.0, {"allowlist": ["198.51.100.0/24"]}, "d"))
    (text,) = configured.document["allowlist"]  # type: ignore[union-attr]
    assert parse_network(text).contains(mapped.network.address)
    for to, mac, is_broadcast in (("10.0.0.255", "", True), ("10.0.0.7", "", False), ("10.0.0.7", "ff:" * 6, True)):
        event = anonymous.event(tcp("192.0.2.1", 22, to=to, mac=mac))
        assert event.mac.startswith("ff:ff:ff:ff:ff:ff") is is_broadcast, format_address(event.destination)
