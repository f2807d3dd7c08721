"""From bytes to networks: formats, guarantees, and what a damaged or hostile list costs."""

import gzip
import ipaddress
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.lists import content
from monitor.lists.content import lines, plain
from monitor.lists.faults import ListCause, ListFault
from monitor.lists.formats import line_reader
from monitor.lists.never import Never, NeverEntry, built_in
from monitor.lists.reading import BAD, CUT, DUPLICATE, WIDE, Reading, read
from monitor.lists.settings import ListFormat
from monitor.model.addresses import Network, host, parse_network

OWN = NeverEntry(parse_network("198.51.100.7"), "this node")
NEVER = Never((*built_in(), OWN, NeverEntry(parse_network("2001:db8:7::/48"), "on the allowlist")))
SPAMHAUS_END = (
    '{"type":"metadata","timestamp":1,"size":2,"records":2,"copyright":"(c) X","terms":"https://example.org"}\n'
)
PRIVATE, RESOLVER, ROOT = dict.fromkeys(entry.reason for entry in built_in())


def reading(
    text: str, form: ListFormat = ListFormat.TEXT, *, column: int = 1, limit: int = 65_536, wider: Iterable[str] = ()
) -> Reading:
    """Read a list."""
    some = lines([text.encode()])
    return read(some, line_reader(form, column), NEVER, limit=limit, wider=list(map(parse_network, wider)))


def taken(text: str, form: ListFormat = ListFormat.TEXT, *, column: int = 1, wider: Iterable[str] = ()) -> list[str]:
    """Return the networks that are taken of a list."""
    return list(map(str, reading(text, form, column=column, wider=wider).networks.networks()))


def cause_of(text: str, form: ListFormat = ListFormat.TEXT, *, limit: int = 65_536) -> ListCause:
    """Return why a list is not taken at all."""
    with pytest.raises(ListFault) as caught:
        reading(text, form, limit=limit)
    return caught.value.cause


FORMATS = [
    (
        ListFormat.TEXT,
        "# a\n; b\n\n192.0.2.1 # c\n192.0.3.0/24 ; SBL1\r\n 2001:db8::1\t\n::ffff:192.0.2.9",
        ["192.0.2.1", "192.0.2.9", "192.0.3.0/24", "2001:db8::1"],
    ),
    (
        ListFormat.NETSET,
        "# x\ncreate a hash:net\nadd a 192.0.2.0/25\nadd a 192.0.3.1 timeout 9\n192.0.4.1-192.0.4.2\n1.2.3.4",
        ["1.2.3.4", "192.0.2.0/25", "192.0.3.1", "192.0.4.1", "192.0.4.2"],
    ),
    (
        ListFormat.RANGES,
        "192.0.2.0-192.0.2.255\n192.0.3.1 - 192.0.3.6\n192.0.4.9\n2001:db8::-2001:db8::ffff",
        ["192.0.2.0/24", "192.0.3.1", "192.0.3.2/31", "192.0.3.4/31", "192.0.3.6", "192.0.4.9", "2001:db8::/112"],
    ),
    (
        ListFormat.CSV,
        '# first,ip\nfirst,ip\n1,192.0.2.1\n2,"192.0.3.0/24",x\n3, 192.0.4.1 ,\n4;192.0.5.1\n5\t192.0.6.1\n',
        ["192.0.2.1", "192.0.3.0/24", "192.0.4.1", "192.0.5.1", "192.0.6.1"],
    ),
    (
        ListFormat.SPAMHAUS_JSON,
        '{"cidr":"192.0.2.0/24","sblid":"SBL1"}\n{"cidr":"192.0.3.0/24"}\n' + SPAMHAUS_END,
        ["192.0.2.0/24", "192.0.3.0/24"],
    ),
]


@pytest.mark.parametrize(("form", "text", "expected"), FORMATS)
def test_each_format(form: ListFormat, text: str, expected: list[str]) -> None:
    """What publishers write, with their comments, line ends and headers; gzip makes no difference."""
    assert taken(text, form, column=2 if form is ListFormat.CSV else 1) == expected
    packed = gzip.compress(text.encode())
    never = Never(())
    both = [
        read(lines(plain(chunks)), line_reader(form, 2), never, limit=99).networks
        for chunks in ([text.encode()], [packed], [packed[:1], packed[1:9], packed[9:]])
    ]
    assert both[0] == both[1] == both[2]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        (ListFormat.TEXT, "192.0.2.1 - 192.0.2.9"),
        (ListFormat.TEXT, "192.0.2.1 bad"),
        (ListFormat.TEXT, "192.0.2.1/24"),
        (ListFormat.TEXT, "192.0.2.0/33"),
        (ListFormat.TEXT, "192.0.2.01"),
        (ListFormat.TEXT, "3221225985"),
        (ListFormat.TEXT, "0x7f000001"),
        (ListFormat.TEXT, "192.0.2.1%eth0"),
        (ListFormat.TEXT, "localhost"),
        (ListFormat.TEXT, "192.0.2.1\x01"),
        (ListFormat.TEXT, "1" * 5000),
        (ListFormat.NETSET, "add a 192.0.2.0/24 nomatch"),
        (ListFormat.NETSET, "add a 192.0.2.1,tcp:80"),
        (ListFormat.NETSET, "add a"),
        (ListFormat.RANGES, "192.0.2.9-192.0.2.1"),
        (ListFormat.RANGES, "192.0.2.9-2001:db8::1"),
        (ListFormat.RANGES, "192.0.2.1-192.0.2.2-192.0.2.3"),
        (ListFormat.CSV, "x" * 4000),
        (ListFormat.SPAMHAUS_JSON, '{"cidr":5}'),
        (ListFormat.SPAMHAUS_JSON, '{"asn":64496}'),
        (ListFormat.SPAMHAUS_JSON, "[" * 4000),
    ],
)
def test_a_bad_line_costs_that_line(form: ListFormat, line: str) -> None:
    """The others are taken, and the account has an example that fits a terminal."""
    good = {ListFormat.SPAMHAUS_JSON: '{"cidr":"192.0.2.77"}', ListFormat.CSV: "192.0.2.77,a"}.get(form, "192.0.2.77")
    end = '\n{"type":"metadata","records":1}' if form is ListFormat.SPAMHAUS_JSON else ""
    found = reading(f"{good}\n{line}\n{end}", form)
    assert list(map(str, found.networks.networks())) == ["192.0.2.77"]
    assert found.account.reasons == {BAD: 1}
    (example,) = found.account.examples[BAD]
    assert len(example) <= 110
    assert example.isprintable()


def test_too_many_bad_lines_cost_the_update() -> None:
    """More than ten that are more than a twentieth: it is another format, or no list."""
    good = "".join(f"192.0.2.{number}\n" for number in range(200))
    assert len(taken(good + "bad\n" * 10)) == 200
    assert cause_of(good + "bad\n" * 11) is ListCause.LINES
    many = "".join(f"192.{number}.2.0/24\n" for number in range(1, 160)) + "bad\n" * 10
    assert reading(many).account.reasons[BAD] == 10
    assert cause_of("192.0.2.1,a\n" * 20) is ListCause.LINES


@pytest.mark.parametrize("text", ["<!DOCTYPE html><p>192.0.2.1", "\n\n <html>", "\xef\xbb\xbf<?xml", "<", "PK\0\3\n"])
def test_a_page_is_no_list(text: str) -> None:
    """An error page with status 200 begins with a bracket; binaries have zeros."""
    with pytest.raises(ListFault) as caught:
        list(lines([text.encode("latin-1")]))
    assert caught.value.cause is ListCause.CONTENT


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "10.0.0.0/8\n127.0.0.1\n", "0.0.0.0/0\n"])
def test_nothing_is_no_list(text: str) -> None:
    """Neither an empty answer nor one of which nothing can be taken."""
    assert cause_of(text) is ListCause.EMPTY


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("0.0.0.0/0", WIDE),
        ("::/0", WIDE),
        ("0.0.0.0/1", WIDE),
        ("128.0.0.0/7", WIDE),
        ("2000::/18", WIDE),
        ("127.0.0.1", PRIVATE),
        ("10.0.0.0/8", PRIVATE),
        ("172.20.0.0/16", PRIVATE),
        ("192.168.1.1", PRIVATE),
        ("100.64.0.0/10", PRIVATE),
        ("169.254.169.254", PRIVATE),
        ("224.0.0.1", PRIVATE),
        ("255.255.255.255", PRIVATE),
        ("::1", PRIVATE),
        ("fe80::1", PRIVATE),
        ("fd00::/19", PRIVATE),
        ("2002:808:808::1", PRIVATE),
        ("64:ff9b::808:808", PRIVATE),
        ("::ffff:127.0.0.1", PRIVATE),
        ("8.8.8.8", RESOLVER),
        ("1.1.1.1", RESOLVER),
        ("9.9.9.9", RESOLVER),
        ("2001:4860:4860::8888", RESOLVER),
        ("198.41.0.4", ROOT),
        ("2001:7fd::1", ROOT),
        ("198.51.100.7", OWN.reason),
        ("2001:db8:7::1", "on the allowlist"),
    ],
)
def test_what_no_list_bans(entry: str, reason: str) -> None:
    """Published lists have carried all of this; the other entries are taken, and the account says why not these."""
    found = reading(f"203.0.113.1\n{entry}\n")
    assert list(map(str, found.networks.networks())) == ["203.0.113.1"]
    assert found.account.reasons == {reason: 1}
    assert found.account.examples[reason]


def test_a_network_around_what_is_protected_loses_that_part() -> None:
    """The rest of it stays banned: one allowed address does not switch a list off."""
    found = reading("198.51.100.0/29\n8.8.8.0/30\n")
    assert list(map(str, found.networks.networks())) == [
        "8.8.8.0/30",
        "198.51.100.0/30",
        "198.51.100.4/31",
        "198.51.100.6",
    ]
    assert found.account.reasons == {OWN.reason: 1, CUT: 1}
    assert taken("2001:db8:6::/47") == ["2001:db8:6::/48"]


@pytest.mark.parametrize("text", ["1.0.0.0-9.255.255.255", "1.0.0.0-2.0.0.0", "2400::-2400:3fff::"])
def test_a_range_is_as_wide_as_its_ends(text: str) -> None:
    """It is not taken because its parts are narrow enough."""
    assert reading(f"{text}\n203.0.113.1", ListFormat.RANGES).account.reasons == {WIDE: 1}


def test_wider_networks_that_are_named_are_taken() -> None:
    """An exception covers what lies inside it, and nothing else; the guarantees hold there, too."""
    text = "4.0.0.0/7\n20.0.0.0/7\n"
    assert taken(text, wider=["20.0.0.0/6"]) == ["20.0.0.0/7"]
    assert "4.2.2.1" not in taken(text, wider=["4.0.0.0/7"])
    assert reading(text, wider=["4.0.0.0/7"]).account.reasons[RESOLVER] == 1


def test_duplicates_and_networks_inside_others_count_once() -> None:
    """Lists name a host next to its network."""
    found = reading("192.0.2.1\n192.0.2.0/24\n192.0.2.1\n192.0.2.0/25\n192.0.3.0/24\n")
    assert list(map(str, found.networks.networks())) == ["192.0.2.0/24", "192.0.3.0/24"]
    assert found.account.reasons == {DUPLICATE: 3}


def test_more_than_allowed_is_not_taken_in_part() -> None:
    """Which part would be left to the order of a list: an update with too many is none."""
    some = "".join(f"203.0.{number // 256}.{number % 256}\n" for number in range(5000))
    assert reading(some, limit=5000).account.taken == 5000
    assert cause_of(some, limit=4999) is ListCause.FULL
    assert cause_of("0.0.1.0-223.255.255.254\n" * 3, ListFormat.RANGES, limit=10) is ListCause.EMPTY
    assert cause_of(some * 40, limit=10) is ListCause.FULL


def test_the_end_of_spamhaus_lists_is_checked() -> None:
    """Their last line says how many networks there are."""
    line = '{"cidr":"192.0.2.0/24"}\n'
    assert cause_of(line, ListFormat.SPAMHAUS_JSON) is ListCause.TRUNCATED
    assert cause_of(f'{line}{{"type":"metadata","records":2}}', ListFormat.SPAMHAUS_JSON) is ListCause.TRUNCATED


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("# Feed X\n# Licence: CC BY 4.0 \x1b[2J\n192.0.2.1\n", r"Licence: CC BY 4.0 \x1b[2J"),
        ("; (c) 2026 Prüfer\n192.0.2.1\n", "(c) 2026 Prüfer"),
        ("# nothing said\n192.0.2.1\n", ""),
        ("# terms " + "x" * 5000 + "\n192.0.2.1\n", "terms " + "x" * 494),
    ],
)
def test_the_licence_is_shown(text: str, licence: str) -> None:
    """What comments say of it, bounded and without control characters."""
    assert reading(text).account.licence == licence


def test_the_licence_of_spamhaus() -> None:
    """It is in the last line."""
    text = (
        '{"cidr":"192.0.2.0/24"}\n{"type":"metadata","records":1,"copyright":"(c) X","terms":"https://example.org/t"}'
    )
    assert reading(text, ListFormat.SPAMHAUS_JSON).account.licence == "(c) X https://example.org/t"


@given(st.lists(st.integers(0, 60), max_size=6).map(sorted))
def test_where_chunks_end_makes_no_difference(cuts: list[int]) -> None:
    """Lines are the same however the content arrives, carriage returns and a byte order mark included."""
    whole = b"\xef\xbb\xbf# a\r\n192.0.2.1\r\n\r\n192.0.3.0/24\n192.0.4.1"
    ends = [*cuts, len(whole)]
    chunks = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    assert list(lines(chunks)) == ["# a", "192.0.2.1", "", "192.0.3.0/24", "192.0.4.1"]
    packed = gzip.compress(whole) + gzip.compress(b"\n192.0.5.1\n")
    chunks = [packed[start:end] for start, end in zip([0, *ends], [*cuts, len(packed)], strict=False)]
    assert list(lines(plain(chunks)))[-1] == "192.0.5.1"


def test_a_last_line_that_may_be_cut_is_not_taken() -> None:
    """`192.0.2.1` may be the start of `192.0.2.17`, `/2` that of `/24`."""
    assert list(lines([b"192.0.2.1\n192.0.2.0/2"], is_complete=False)) == ["192.0.2.1"]


@pytest.mark.parametrize("cut", [1, 5, 12, 40])
def test_truncated_gzip_is_no_list(cut: int) -> None:
    """What was unpacked until then looks like a shorter list."""
    packed = gzip.compress(b"192.0.2.1\n" * 5000)
    with pytest.raises(ListFault) as caught:
        list(lines(plain([packed[:-cut]])))
    assert caught.value.cause is ListCause.TRUNCATED


def test_damaged_gzip_is_no_list() -> None:
    """Its checksum finds a flipped bit."""
    packed = bytearray(gzip.compress(b"192.0.2.1\n" * 5000))
    packed[-6] ^= 1
    with pytest.raises(ListFault) as caught:
        list(lines(plain([bytes(packed)])))
    assert caught.value.cause is ListCause.CONTENT


@pytest.mark.parametrize("what", ["bomb", "nested bomb", "endless line", "endless lines"])
def test_nothing_without_end_costs_memory(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzip of a thousandth of its content, twice, a line without end, and empty lines without end."""
    monkeypatch.setattr(content, "MAX_PLAIN_BYTES", 10_000_000)
    monkeypatch.setattr(content, "MAX_LINES", 100_000)
    bomb = gzip.compress(bytes(20_000_000).replace(b"\0", b"1"), 9)
    sources: dict[str, Iterable[bytes]] = {
        "bomb": plain([bomb]),
        "nested bomb": plain(plain([gzip.compress(bomb)])),
        "endless line": (b"1" * 65536 for _ in range(1000)),
        "endless lines": (b"\n" * 65536 for _ in range(1000)),
    }
    list(lines([b"#\n"]))
    tracemalloc.start()
    try:
        with pytest.raises(ListFault) as caught:
            for _ in lines(sources[what]):
                pass
        assert caught.value.cause is ListCause.TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


_bases = st.sampled_from([parse_network("203.0.112.0/24"), parse_network("2001:db8::/120")])


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw a network inside one of two small ones."""
    base = draw(_bases)
    length = draw(st.integers(base.prefix_length, base.bits))
    offset = draw(st.integers(0, 255)) >> (base.bits - length) << (base.bits - length)
    return Network((int.from_bytes(base.address) + offset).to_bytes(len(base.address)), length)


def addresses(some: Iterable[Network]) -> set[bytes]:
    """Return all addresses in networks."""
    return {one.packed for network in some for one in ipaddress.ip_network(str(network))}


@given(st.lists(networks(), min_size=1, max_size=30), st.lists(networks(), max_size=8))
def test_what_is_taken_is_what_is_listed_less_what_is_protected(listed: list[Network], spared: list[Network]) -> None:
    """Address for address; sorted, without overlaps, and no wider than a line."""
    never = Never(NeverEntry(network, "spared") for network in spared)
    expected = addresses(listed) - addresses(spared)
    text = [str(network) for network in listed]
    if not expected:
        with pytest.raises(ListFault):
            read(text, line_reader(ListFormat.TEXT), never, limit=9999)
        return
    found = list(read(text, line_reader(ListFormat.TEXT), never, limit=9999).networks.networks())
    assert addresses(found) == expected
    assert sum(1 << (one.bits - one.prefix_length) for one in found) == len(expected)
    assert found == sorted(found, key=lambda one: (len(one.address), one.address))
    assert all(any(addresses([one]) <= addresses([other]) for other in listed) for one in found)


def test_the_built_in_entries_protect_what_they_name() -> None:
    """Each has a source, none is as wide as the Internet, and none is unsorted out of another."""
    assert len({entry.network for entry in built_in()}) == len(built_in())
    for entry in built_in():
        if entry.reason != PRIVATE:
            assert entry.network.is_host
            assert ipaddress.ip_address(entry.network.address).is_global
    for text in ("203.0.113.1", "20.1.2.3", "2a00::1"):
        network = host(parse_network(text).address)
        assert (
            NEVER.overlap(int.from_bytes(network.address), int.from_bytes(network.address), len(network.address))
            is None
        )
