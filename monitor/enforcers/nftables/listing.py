"""Reads the content of the table: bans, counters, definitions. FileNotFoundError if there is no table or set."""

import errno
import functools
from collections.abc import Iterable, Iterator, Sequence

from monitor.enforcers import netlink
from monitor.enforcers.netlink import GET_ELEMENTS, ElementEncoder, NetlinkReply, NetlinkRequest, RawElement, RawSet
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import messages
from monitor.enforcers.nftables.expiry import decode_ends
from monitor.enforcers.nftables.ruleset import (
    BAN_SETS,
    FORMER_SETS,
    LEAK_HOOKS,
    PORT_COUNTERS,
    PORT_SETS,
    TABLE,
    Element,
    leak_set_name,
    set_name,
)
from monitor.enforcers.nftables.sizes import is_known
from monitor.enforcers.protocol import Stopped, Stored
from monitor.model.addresses import Address, Network, host, network_between
from monitor.model.alerts import Strength
from monitor.model.errors import TemporaryError
from monitor.model.parts import in_parts

_ATTEMPTS = 5
_STRENGTHS = BAN_SETS | {former: BAN_SETS[name] for former, name in FORMER_SETS.items()}
_BAN_COUNTERS = (*BAN_SETS, *PORT_COUNTERS)
_LEAK_COUNTERS = tuple(f"leak_{hook}" for hook in LEAK_HOOKS)
_KEPT_COUNTERS = 64
_QUESTIONS = 512
"""How many elements are requested in one datagram: the replies must fit the receive buffer."""


def exists(link: NetlinkSocket) -> bool:
    """Whether the table exists."""
    return not isinstance(link.query([messages.get_table(TABLE)])[0], int)


def table_comment(link: NetlinkSocket, table: str = TABLE) -> bytes | None:
    """Return the user data of the table, which contains its comment; None if there is no table."""
    answer = link.query([messages.get_table(table)])[0]
    return None if isinstance(answer, int) else netlink.decode_table_userdata(answer.body)


def read_definitions(
    link: NetlinkSocket, names: Iterable[str] = tuple(BAN_SETS), table: str = TABLE
) -> dict[str, RawSet]:
    """Read the definitions of those sets of `names` that exist."""
    names = tuple(names)
    answers = zip(names, link.query([messages.get_set(table, name) for name in names]), strict=True)
    return {name: netlink.decode_set(answer.body) for name, answer in answers if not isinstance(answer, int)}


def read_counters(link: NetlinkSocket) -> dict[str, Stopped]:
    """Read the counters of bans, by name."""
    return dict(map(_counter, link.ask(_requests(_BAN_COUNTERS))))


def read_any_counters(link: NetlinkSocket) -> dict[str, Stopped]:
    """Read the existing counters of bans and leaks, by current name: an older schema lacks some or has other names."""
    names = (*FORMER_SETS, *BAN_SETS, *PORT_COUNTERS, *_LEAK_COUNTERS)
    answers = link.query([messages.get_counter(TABLE, name) for name in names])
    decoded = [netlink.decode_counter(answer.body) for answer in answers if not isinstance(answer, int)]
    return {FORMER_SETS.get(name, name): Stopped(packets, octets) for name, packets, octets in decoded}


def read_leaks(link: NetlinkSocket) -> dict[str, Stopped]:
    """Read how much banned traffic got through, by hook (`input`, `forward`)."""
    answers = link.ask(_requests(_LEAK_COUNTERS))
    return {hook: _counter(answer)[1] for hook, answer in zip(LEAK_HOOKS, answers, strict=True)}


def leaked(link: NetlinkSocket, address: Address) -> list[str]:
    """Return the hooks that a packet of this address reached recently although it was banned."""
    requests = [
        ElementEncoder(TABLE, leak_set_name(address, hook)).request(GET_ELEMENTS, netlink.encode_key(address))
        for hook in LEAK_HOOKS
    ]
    answers = zip(LEAK_HOOKS, link.query(requests), strict=True)
    return [hook for hook, answer in answers if _starting_at(address, answer)]


@functools.cache
def _requests(names: tuple[str, ...]) -> list[NetlinkRequest]:
    """Return what asks for counters; they are asked for each second."""
    return [messages.get_counter(TABLE, name) for name in names]


def _counter(answer: NetlinkReply | int) -> tuple[str, Stopped]:
    return _decoded(_present(answer).body)


@functools.lru_cache(_KEPT_COUNTERS)
def _decoded(body: bytes) -> tuple[str, Stopped]:
    """Return name and value of a counter; most are what they were a second ago."""
    name, packets, octets = netlink.decode_counter(body)
    return name, Stopped(packets, octets)


def read_elements(names: Iterable[str] = tuple(BAN_SETS)) -> list[Element]:
    """Read the elements of sets through a separate socket: a listing in parts must not mix with other replies.

    `names` may be names of an older schema (`FORMER_SETS`).
    """
    result: list[Element] = []
    for name in names:
        if name.endswith("_nets"):
            networks = pair_intervals(_dump(name))
        else:
            networks = [(host(element.key), element) for element in _dump_hash(name)]
        result += [_element(network, _STRENGTHS[name], element) for network, element in networks]
    return result


def read_port_elements(names: Iterable[str] = tuple(PORT_SETS)) -> dict[str, dict[bytes, RawElement]]:
    """Read the elements of sets of bans of some ports, by set and key. FileNotFoundError if one is missing."""
    return {name: {element.key: element for element in _dump_hash(name)} for name in names}


def read_ends(link: NetlinkSocket, stored: Stored) -> Iterator[tuple[Network, Strength, float | None]]:
    """Yield network, strength and remaining seconds (None: no timeout) of all elements, one set in memory at a time.

    A hash set is read until all elements that the kernel counts are found, or another pass finds nothing new, as in
    `read_elements`; if it keeps growing, the elements found so far are returned. One of which nearly all is `stored` is
    left out. Sets of an older schema are read too. FileNotFoundError if there is no table.
    """
    if not exists(link):
        raise FileNotFoundError(errno.ENOENT, "no such table")
    for name, definition in read_definitions(link, _STRENGTHS).items():
        strength = _STRENGTHS[name]
        if not definition.interval and is_known(definition, stored.get((strength, definition.key_bytes * 8), 0)):
            continue
        if name.endswith("_nets"):
            for element in read_elements([name]):
                yield element.network, strength, element.timeout_s
            continue
        found: dict[Address, int | None] = {}
        for _ in range(_ATTEMPTS):
            known = len(found)
            for _, body in bodies(name):  # a listing that restarts repeats the same elements
                decode_ends(body, found)
            if len(found) in (known, definition.count):
                break
        for address, remaining_ms in found.items():
            yield host(address), strength, None if remaining_ms is None else remaining_ms / 1000


def _dump_hash(name: str) -> Iterable[RawElement]:
    """Read a hash set until another pass finds nothing new.

    The kernel resizes the table in the background after many additions; a listing during that time silently misses
    elements and repeats others (rhashtable_walk_next in linux/rhashtable.h).
    """
    found: dict[Address, RawElement] = {element.key: element for element in _dump(name)}
    for _ in range(_ATTEMPTS):
        seen: dict[Address, int | None] = {}
        for _, body in bodies(name):
            decode_ends(body, seen)
        if seen.keys() <= found.keys():
            return found.values()
        found.update((element.key, element) for element in _dump(name))
    raise TemporaryError(f"set {name} kept growing while it was being read; try again")


def _dump(name: str) -> list[RawElement]:
    elements: list[RawElement] = []
    for attempt_is_new, body in bodies(name):
        if attempt_is_new:
            elements.clear()
        elements += netlink.decode_elements(body)
    return elements


def bodies(name: str, *, must_be_exact: bool = True, table: str = TABLE) -> Iterator[tuple[bool, bytes]]:
    """Yield the bodies of the messages of a listing, and whether the listing restarts because the set changed.

    Unless it `must_be_exact`, it never restarts; elements may be missing or repeated if others write meanwhile.
    """
    request = ElementEncoder(table, name).request(GET_ELEMENTS, b"")
    for attempt in range(_ATTEMPTS):
        link = NetlinkSocket()
        is_new = True
        try:
            for reply in link.dump(request, must_be_exact=must_be_exact):
                yield is_new, reply.body
                is_new = False
        except TemporaryError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise error.__cause__ from None
            if attempt == _ATTEMPTS - 1:
                raise TemporaryError(f"set {name} could not be read: {error}") from error
        else:
            return
        finally:
            link.close()


def pair_intervals(raw: Iterable[RawElement]) -> list[tuple[Network, RawElement]]:
    """Join the starts and ends of an interval set to prefixes, in order of address.

    An interval that is not a prefix (only a person with nft adds one) is left out, as is an end without a start.
    """
    paired = ((network_between(first, last), element) for first, last, element in intervals(raw))
    return [(network, element) for network, element in paired if network is not None]


def intervals(raw: Iterable[RawElement]) -> Iterator[tuple[Address, Address, RawElement]]:
    """Yield first and last address and the start of each interval, in order of address.

    A start without an end extends to the last address of its family. An end without a start is left out.
    """
    ordered = sorted(raw, key=lambda element: (element.key, not element.is_end))
    for index, element in enumerate(ordered):
        if element.is_end:
            continue
        follower = ordered[index + 1] if index + 1 < len(ordered) else None
        if follower is not None and follower.is_end:
            yield element.key, (int.from_bytes(follower.key) - 1).to_bytes(len(element.key)), element
        else:
            yield element.key, b"\xff" * len(element.key), element


def lookup(link: NetlinkSocket, network: Network, strength: Strength) -> Element | None:
    """Read one element; None if the set does not contain exactly this network."""
    encoder = ElementEncoder(TABLE, set_name(network, strength))
    addresses = [network.address, network.last()]
    # A set of prefixes returns the start of the interval that contains an address; for an end, some kernels return
    # nothing. So the first and the last address must be in the same interval, and the next address must not.
    if not network.is_host and (end := netlink.interval_end(network)) is not None:
        addresses.append(end)
    answers = link.query([encoder.request(GET_ELEMENTS, netlink.encode_key(address)) for address in addresses])
    first, last, *after = (_starting_at(network.address, answer) for answer in answers)
    if first is None or last is None or any(after):
        return None
    return _element(network, strength, first)


def interval_at(link: NetlinkSocket, address: Address, strength: Strength) -> Address | None:
    """Return the first address of the interval of a set of prefixes that contains an address; None without one."""
    name = f"{set_name(host(address), strength)}_nets"
    answer = link.query([ElementEncoder(TABLE, name).request(GET_ELEMENTS, netlink.encode_key(address))])[0]
    if answer in (0, errno.ENOENT):
        return None
    return next((one.key for one in netlink.decode_elements(_present(answer).body) if not one.is_end), None)


def lookup_many(link: NetlinkSocket, networks: Sequence[Network], strength: Strength) -> list[Element]:
    """Read many elements in one call, for networks that are known to be elements; missing ones are left out."""
    found = []
    encoders = {name: ElementEncoder(TABLE, name) for name in {set_name(network, strength) for network in networks}}
    for part in in_parts(networks, _QUESTIONS):
        questions = [
            encoders[set_name(network, strength)].request(GET_ELEMENTS, netlink.encode_key(network.address))
            for network in part
        ]
        for network, answer in zip(part, link.query(questions), strict=True):
            if (element := _starting_at(network.address, answer)) is not None:
                found.append(_element(network, strength, element))
    return found


def read_counts(link: NetlinkSocket, networks: Sequence[Network], strength: Strength) -> dict[Network, tuple[int, int]]:
    """Read packets and bytes of the elements that have dropped any."""
    found = lookup_many(link, networks, strength)
    return {element.network: (element.packets, element.bytes) for element in found if element.packets}


def _starting_at(start: Address, answer: NetlinkReply | int) -> RawElement | None:
    """Return the element of a reply if it starts at `start`."""
    if answer in (0, errno.ENOENT):
        return None
    return next((e for e in netlink.decode_elements(_present(answer).body) if e.key == start and not e.is_end), None)


def _element(network: Network, strength: Strength, raw: RawElement) -> Element:
    timeout_s = None if raw.remaining_ms is None else raw.remaining_ms / 1000
    return Element(network, strength, timeout_s, raw.packets, raw.bytes)


def _present(answer: NetlinkReply | int) -> NetlinkReply:
    if isinstance(answer, int):
        if answer == errno.ENOENT:
            raise FileNotFoundError(answer, "no such table, set or counter")
        raise TemporaryError(f"nf_tables: {errno.errorcode.get(answer, answer)}")
    return answer
