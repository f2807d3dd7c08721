"""A state directory with many bans, as left by the daemon."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.model.addresses import Network, host, network_of
from monitor.model.alerts import Strength
from monitor.model.bans import Ban
from monitor.state.changes import StateChanges
from monitor.state.store import FILE_NAME, Store

_DAY_S = 86400.0
_REASONS = ("15 distinct ports", "10 distinct hosts on 22/tcp", "10 distinct hosts on 445/tcp", "by hand")
_DETECTORS = ("port_scan", "host_sweep", "host_sweep", "manual")


def write_bans(state: Path, count: int, *, prefixes: int = 0) -> None:
    """Write a store with `count` bans of a day to a month, `prefixes` of them for IPv6 /64 networks."""
    state.mkdir(parents=True, exist_ok=True)
    changes = StateChanges()
    random_source = random.Random(3)
    now_s = time.time()
    for number, network in enumerate(_networks(random_source, count, prefixes)):
        kind = number % len(_REASONS)
        until_s = now_s + random_source.uniform(1, 30) * _DAY_S
        strength = Strength.SPOOFABLE if number % 4 else Strength.PROVEN
        changes.put_ban(Ban(network, strength, now_s, until_s, _DETECTORS[kind], _REASONS[kind]))
    store = Store.open(state / FILE_NAME)
    store.write(changes, durable=True)
    store.close()


def _networks(random_source: random.Random, count: int, prefixes: int) -> Iterator[Network]:
    """Yield distinct public networks: alternating hosts of both families, then IPv6 prefixes."""
    seen: set[Network] = set()
    while len(seen) < count:
        if len(seen) >= count - prefixes:
            network = network_of(b"\x24\x00" + random_source.randbytes(14), 64)
        elif len(seen) % 2:
            network = host(b"\x26\x00" + random_source.randbytes(14))
        else:
            network = host(bytes([random_source.randrange(11, 99)]) + random_source.randbytes(3))
        if network not in seen:
            seen.add(network)
            yield network
