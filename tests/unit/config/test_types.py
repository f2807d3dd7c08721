"""The notations: durations, sizes, ports, addresses to listen on, booleans, whole numbers."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.config import kinds, types
from monitor.config.types import Endpoint, PortRange
from monitor.model.addresses import Network, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import Mode

READERS: tuple[Callable[[str], object], ...] = (
    types.parse_boolean,
    types.parse_integer,
    types.parse_duration,
    types.parse_size,
    types.parse_port,
    types.parse_port_range,
    types.parse_endpoint,
    kinds.NETWORK.read,
    kinds.GROUP.read,
    kinds.SOCKET_PATH.read,
    kinds.text(10).read,
    kinds.choice(Mode).read,
    kinds.integer(1, 5).read,
    kinds.duration("1s", "1w").read,
    kinds.size("1KiB", "1MiB").read,
)

NOTATION = st.text("0123456789 wdhmsKMGTiBb.:[]-+/eE_∞٣", max_size=24)


@given(st.one_of(st.text(), NOTATION), st.sampled_from(READERS))
@example("\ud800", kinds.NETWORK.read)
@example("9" * 5000, types.parse_size)
@example("192.0.2.0/" + "9" * 5000, kinds.NETWORK.read)
@example("::1%eth0", kinds.NETWORK.read)
def test_arbitrary_text_is_a_value_or_a_value_error(text: str, read: Callable[[str], object]) -> None:
    """No text makes a reader raise anything but ValueError, and its message stays short and on one line."""
    try:
        read(text)
    except ValueError as error:
        assert len(str(error)) < 700
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("4w", 2_419_200),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("3600", 3600),
        ("0", 0),
        ("1w2d3h4m5s6ms", 788_645.006),
    ],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    """Units add up; a bare number means seconds."""
    assert types.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "1:30",
        "10 m",
        "30m1h",
        "10m10m",
        "1.5h",
        "-1m",
        "1y",
        "1M",
        "1H",
        "1h30",
        "inf",
        "1e3",
        "٣s",
        "9" * 15 + "w",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Typos, fractions, unknown units and sexagesimal numbers are not guessed at."""
    with pytest.raises(ValueError, match="duration"):
        types.parse_duration(text)


@given(st.integers(0, 10**13))
def test_durations_survive_being_written_and_read(milliseconds: int) -> None:
    """format_duration and parse_duration are each other's inverse, to the millisecond."""
    duration_s = milliseconds / 1000
    assert types.parse_duration(types.format_duration(duration_s)) == duration_s


def test_durations_are_written_as_people_say_them() -> None:
    """A year stays in days, whole weeks are weeks, nothing is 0s."""
    written = [types.format_duration(s) for s in (0, 0.25, 600, 5400, 604_800, 365 * 86_400)]
    assert written == ["0s", "250ms", "10m", "1h30m", "1w", "365d"]


def test_negative_values_cannot_be_written() -> None:
    """There is no notation for a negative duration or size."""
    with pytest.raises(ValueError, match="negative"):
        types.format_duration(-1)
    with pytest.raises(ValueError, match="negative"):
        types.format_size(-1)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65_536),
        ("1MiB", 2**20),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        ("512", 512),
        ("0", 0),
        ("3B", 3),
    ],
)
def test_sizes_are_read_as_bytes(text: str, size: int) -> None:
    """Binary and decimal units differ; a bare number means bytes."""
    assert types.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "1.5MB", "-1", "10k", "1EiB", "1 0", "0x10"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Bare prefixes, fractions and other bases are not guessed at."""
    with pytest.raises(ValueError, match="size"):
        types.parse_size(text)


@given(
    st.one_of(st.integers(0, 2**60 - 1), st.builds(lambda n, e: n * 1000**e, st.integers(0, 999), st.integers(0, 4)))
)
def test_sizes_survive_being_written_and_read(size_bytes: int) -> None:
    """format_size and parse_size are each other's inverse."""
    if len(str(size_bytes)) <= 18:
        assert types.parse_size(types.format_size(size_bytes)) == size_bytes


@given(st.one_of(st.binary(min_size=4, max_size=4), st.binary(min_size=16, max_size=16)), st.data())
def test_networks_survive_being_written_and_read(address: bytes, data: st.DataObject) -> None:
    """A network that NETWORK writes is the one that it reads."""
    network = network_of(address, data.draw(st.integers(0, len(address) * 8)))
    if network.address.startswith(bytes(10) + b"\xff\xff") and len(address) == 16:
        return  # folded to IPv4 on the way in
    assert kinds.NETWORK.read(str(kinds.NETWORK.write(network))) == network


@given(st.integers(1, 65535), st.integers(1, 65535))
def test_port_ranges_survive_being_written_and_read(one: int, other: int) -> None:
    """A range of ports that is written is the one that is read, and holds both its ends."""
    ports = PortRange(min(one, other), max(one, other))
    assert types.parse_port_range(str(ports)) == ports
    assert one in ports
    assert other in ports
    assert ports.last + 1 not in ports


@pytest.mark.parametrize("text", ["", "0-10", "1-65536", "a-b", "1-", "-5", "1 - 5", "1-2-3", "080-090"])
def test_what_is_no_port_range_is_refused(text: str) -> None:
    """Ports outside 1..65535 and half ranges are refused."""
    with pytest.raises(ValueError, match="port range"):
        types.parse_port_range(text)


def test_a_backward_port_range_is_explained() -> None:
    """Swapped ends are named the right way round."""
    with pytest.raises(ValueError, match="did you mean 32768-60999"):
        types.parse_port_range("60999-32768")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:9843", Endpoint("127.0.0.1", 9843)),
        ("0.0.0.0:1", Endpoint("0.0.0.0", 1)),
        ("[::1]:9843", Endpoint("::1", 9843)),
        ("[2001:DB8:0::1]:65535", Endpoint("2001:db8::1", 65535)),
        ("[::ffff:192.0.2.1]:80", Endpoint("192.0.2.1", 80)),
    ],
)
def test_endpoints_are_read_canonically(text: str, endpoint: Endpoint) -> None:
    """IPv6 goes in brackets and comes out in canonical notation; what is written can be read again."""
    assert types.parse_endpoint(text) == endpoint
    assert types.parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "9843", ":9843", "::1:9843", "[127.0.0.1]:80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "[::1]", "[::1]80"],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    """Names, missing ports and misplaced brackets are refused with an example of each family."""
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9843 or \[::1\]:9843"):
        types.parse_endpoint(text)


@pytest.mark.parametrize("text", ["true", "Yes", "ON", "TRUE"])
def test_true_has_many_words(text: str) -> None:
    """Each of YAML 1.1's words for true is one, in any case."""
    assert types.parse_boolean(text)
    assert not types.parse_boolean({"true": "false", "yes": "no", "on": "off"}[text.lower()])


@pytest.mark.parametrize("text", ["", "y", "1", "truee", "enabled"])
def test_other_words_are_not_booleans(text: str) -> None:
    """One letter and numbers are refused: the message names the words."""
    with pytest.raises(ValueError, match="neither true nor false"):
        types.parse_boolean(text)


@pytest.mark.parametrize("text", ["", "010", "0x10", "1_000", "+5", "1.0", "1e3", "-0", "٣", " 5", "9" * 30])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    """Octal, hexadecimal, grouped and fractional numbers are refused."""
    with pytest.raises(ValueError, match="not a whole number"):
        types.parse_integer(text)


def test_ranges_are_inclusive() -> None:
    """Both ends of a kind's range are allowed, what lies beyond is named with the range."""
    kind = kinds.duration("1s", "1w")
    assert (kind.read("1s"), kind.read("7d")) == (1, 604_800)
    with pytest.raises(ValueError, match="out of range: expected 1s to 1w"):
        kind.read("999ms")
    with pytest.raises(ValueError, match="out of range: expected 1KiB to 1MiB"):
        kinds.size("1KiB", "1MiB").read("1023")
    with pytest.raises(ValueError, match="out of range: expected 2 to 3"):
        kinds.integer(2, 3).read("-4")


def test_a_wrong_word_is_answered_with_the_near_one() -> None:
    """An enumeration names its words, and the one that was probably meant."""
    assert kinds.choice(Strength).read("proven") is Strength.PROVEN
    with pytest.raises(ValueError, match="not one of enforce, observe; did you mean enforce"):
        kinds.choice(Mode).read("Enforced")


def test_texts_are_neither_empty_nor_unprintable() -> None:
    """Empty text would match every line; control characters are escaped in the message."""
    with pytest.raises(ValueError, match="1 to 10 characters"):
        kinds.text(10).read("")
    with pytest.raises(ValueError, match=r"'a\\x1bb' contains"):
        kinds.text(10).read("a\x1bb")


def test_socket_paths_fit_the_kernels_structure() -> None:
    """A path of 107 bytes is allowed, 108 are not (unix(7)), and a relative one never."""
    assert str(kinds.SOCKET_PATH.read("/" + "s" * 106)) == "/" + "s" * 106
    for text in ("/" + "s" * 107, "/" + "ß" * 54, "run/socket", ""):
        with pytest.raises(ValueError, match=r"absolute path|too long"):
            kinds.SOCKET_PATH.read(text)


def test_a_host_is_a_network() -> None:
    """A single address is a network of full length."""
    assert kinds.NETWORK.read("192.0.2.1") == Network(bytes([192, 0, 2, 1]), 32)
