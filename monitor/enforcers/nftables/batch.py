"""Adds many bans at once, as at start: hundreds of elements per message instead of one."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from operator import attrgetter

from monitor.enforcers.netlink import NEW_ELEMENTS, NetlinkRequest, encode_element, encode_key, interval_end
from monitor.enforcers.netlink_socket import NetlinkSocket, TooMuchAtOnce
from monitor.enforcers.nftables.commit import ENCODERS, milliseconds
from monitor.enforcers.nftables.ruleset import set_name
from monitor.model.addresses import Network, host
from monitor.model.bans import Ban
from monitor.model.parts import in_parts

WORTHWHILE = 64
_MESSAGE_ELEMENTS = 700  # below 32 KiB for both families: the length of a nested attribute has 16 bits
_TRANSACTION_MESSAGES = 24
_ADDRESS = attrgetter("network.address")


def add_hosts(link: NetlinkSocket, bans: Sequence[Ban], now_s: float) -> list[Ban]:
    """Put bans of single addresses in force; return those of refused transactions, to be added one by one.

    The kernel refuses a message of many elements as a whole, so it is unknown which element caused the refusal.
    """
    left: list[Ban] = []
    for chunk in in_parts(_messages(bans, now_s), _TRANSACTION_MESSAGES):
        try:
            is_refused = bool(link.transact([request for request, _ in chunk]))
        except TooMuchAtOnce:
            is_refused = True
        if is_refused:
            left += [ban for _, inside in chunk for ban in inside]
    return left


def add_prefixes(link: NetlinkSocket, name: str, ends: Mapping[Network, float], now_s: float) -> bool:
    """Put bans of prefixes into a set of intervals, all or none; return whether they are in force.

    No prefix may overlap another one, or reach to the last address of its family. `ends` are wall times in seconds.
    """
    size = 4 if "4" in name else 16
    start, end = encode_key(bytes(size), timeout_ms=0), encode_key(bytes(size), is_end=True)
    head, middle, between = start[:8], start[16:-size], end[:-size]
    encode = struct.Struct(f">{len(head)}sQ{len(middle)}s{size}s{len(between)}s{size}s").pack
    elements = [
        encode(head, milliseconds(end_s - now_s), middle, network.address, between, interval_end(network))
        for network, end_s in ends.items()
    ]
    try:
        return not link.transact(list(ENCODERS[name].requests(NEW_ELEMENTS, elements)))
    except TooMuchAtOnce:
        return False


def _messages(bans: Sequence[Ban], now_s: float) -> Iterator[tuple[NetlinkRequest, list[Ban]]]:
    by_kind: dict[int, list[Ban]] = {}
    for ban in bans:
        by_kind.setdefault(len(ban.network.address) * 4 + ban.strength.number, []).append(ban)
    for members in by_kind.values():
        size = len(members[0].network.address)
        encoder = ENCODERS[set_name(members[0].network, members[0].strength)]
        # The elements of a set differ only in timeout and address: the rest is encoded once.
        model = encode_element(host(bytes(size)), interval=False, timeout_ms=0)
        head, middle = model[:8], model[16:-size]
        encode = struct.Struct(f">{len(head)}sQ{len(middle)}s{size}s").pack
        for part in in_parts(members, _MESSAGE_ELEMENTS):
            timeouts_ms = [milliseconds(ban.until_s - now_s) for ban in part]
            elements = map(encode, repeat(head), timeouts_ms, repeat(middle), map(_ADDRESS, part))
            yield encoder.request(NEW_ELEMENTS, b"".join(elements)), part
