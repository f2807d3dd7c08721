"""Detection of sources with many dropped packets among a million other sources."""

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator

from bench.offenders import mac
from bench.packets import udp_frame
from bench.registry import Figure, benchmark, progress
from monitor.model.addresses import parse_address
from monitor.sources.drops.reader import DropCounters
from monitor.sources.drops.settings import DropCounting, DropsSettings
from tests.support.lab import Lab

_OFFENDERS, _FORGED = 50, 1_000_000
_EVERY = 20
"""An offender sends a packet after this many forged ones: 1,000 packets per offender in total. In a flood of 50,000/s
that is 50/s, the threshold of the detector drop_rate (3,000 per minute)."""
_POLL_EVERY = 50_000  # a second of such a flood
_FREQUENT = 10
_RULE = "table inet f { chain i { type filter hook input priority 0; udp dport 9 drop; }; }"


@benchmark("drop_offenders_found", "drop_offenders_invented")
def drop_offenders() -> Iterator[Figure]:
    """Drop one packet of each of 1,000,000 forged sources, and 1,000 of each of 50 real offenders among them (sources).

    `drop_offenders_found`: offenders that were counted exactly (all: 50). `drop_offenders_invented`: other sources with
    10 or more counted packets.
    """
    chance = random.Random(11)
    offenders = [parse_address(f"198.51.100.{number}") for number in range(1, _OFFENDERS + 1)]
    counted: Counter[bytes] = Counter()
    with Lab("node", "outside", label="bench") as lab:
        node, outside = lab["node"], lab["outside"]
        node.nft(_RULE)
        link, target = (mac(node), mac(outside)), parse_address(node.address4)
        theirs = [udp_frame(link, source, target, 9) for source in offenders]
        with node.entered():
            counters = DropCounters(DropCounting(DropsSettings()))
        with outside.entered():
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.bind(("eth0", 0))
            for number in range(_FORGED):
                sender.send(udp_frame(link, b"\x0b" + chance.randbytes(3), target, 9))
                if number % _EVERY == 0:
                    sender.send(theirs[number // _EVERY % _OFFENDERS])
                if number % _POLL_EVERY == _POLL_EVERY - 1:
                    counted.update({one.source: sum(one.packets) for one in counters.poll(time.monotonic())})
                    progress(f"{number + 1:,} forged: {sum(source in counted for source in offenders)} offenders found")
        counters.close()
    frequent = {source for source, packets in counted.items() if packets >= _FREQUENT}
    yield Figure("drop_offenders_found", len(frequent & set(offenders)), "sources")
    yield Figure("drop_offenders_invented", len(frequent - set(offenders)), "sources")
