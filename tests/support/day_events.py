"""Events of random days, of every type."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from monitor.model.addresses import parse_address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure, DropsObserved, PacketLogged, SenderObserved
from monitor.model.flows import (
    Flow,
    FlowBatch,
    FlowClosed,
    FlowEstablished,
    FlowIncomplete,
    FlowListed,
    FlowOpened,
    FlowReset,
    ListenTotals,
    OutboundIncomplete,
)
from tests.support.flows import flow

NODE = "192.0.2.1"
BEHIND = "192.0.2.99"
STRANGERS = [
    *(f"198.51.100.{number}" for number in range(1, 8)),
    *(f"203.0.113.{number}" for number in range(1, 4)),
    "10.0.0.9",
    *(f"2001:db8::{number}" for number in range(1, 4)),
]
_PORTS = (22, 25, 80, 443, 2379, 5000, 5001, 5002, 5003)


def batch(chance: random.Random, now_s: float, names: Sequence[str]) -> list[Any]:
    """Return a batch of events of one type; `names` are those of detectors that watch logs."""
    make = chance.choices([_packet, _failure, _drops, _sender, _attempt, _flows], weights=[3, 3, 2, 2, 2, 4])[0]
    count = 1 if make is _flows else chance.choice([1, 3, 12, 12, 60])
    if make is not _flows and chance.random() < 0.03:
        return _flood(chance, now_s, make, names)
    return [make(chance, round(now_s - chance.uniform(0, 0.5), 3), names) for _ in range(count)]


def _flood(chance: random.Random, now_s: float, make: Any, names: Sequence[str]) -> list[Any]:
    """Return events of more sources than a window keeps, and of a few that come again and again."""
    model = make(chance, now_s, names)
    sources = [bytes((100, 64 + chance.randrange(64), *chance.randbytes(2))) for _ in range(1200)]
    sources += [parse_address(one) for one in STRANGERS[:3]]
    return [msgspec.structs.replace(model, source=source) for source in sources]


def _source(chance: random.Random) -> str:
    if chance.random() < 0.15:  # a flood of sources that come once
        return f"100.64.{chance.randrange(256)}.{chance.randrange(256)}"
    return chance.choice(STRANGERS)


def _packet(chance: random.Random, time_s: float, _: Sequence[str]) -> PacketLogged:
    source = parse_address(_source(chance))
    return PacketLogged(
        time_s,
        chance.choice(["drop: ", "new: "]),
        "eth0",
        "",
        source,
        parse_address(NODE if len(source) == 4 else "2001:db8:1::1"),
        chance.choice([6, 6, 17]),
        chance.randrange(1024, 1030),
        chance.choice(_PORTS),
        chance.choice([2, 1, 0, 41]),
    )


def _failure(chance: random.Random, time_s: float, names: Sequence[str]) -> AuthFailure:
    strength = chance.choice([Strength.PROVEN, Strength.PROVEN, Strength.SPOOFABLE])
    source = parse_address(_source(chance))
    return AuthFailure(
        time_s, chance.choice([*names, "gone"]), source, strength, "journal", chance.choice(["", "root"])
    )


def _drops(chance: random.Random, time_s: float, _: Sequence[str]) -> DropsObserved:
    packets = tuple(chance.choice([0, 0, 1, 4]) for _ in range(6))
    ports = chance.getrandbits(64)
    return DropsObserved(
        time_s, parse_address(_source(chance)), packets, None, 0, ports & chance.getrandbits(64), ports
    )


def _sender(chance: random.Random, time_s: float, _: Sequence[str]) -> SenderObserved:
    return SenderObserved(time_s, parse_address(_source(chance)), chance.randrange(4), chance.randrange(4))


def _attempt(chance: random.Random, time_s: float, _: Sequence[str]) -> FlowIncomplete:
    return _incomplete(chance, time_s, FlowIncomplete)


def _incomplete(chance: random.Random, time_s: float, kind: type[FlowIncomplete]) -> FlowIncomplete:
    source, to = _source(chance), chance.choice([NODE, NODE, BEHIND])
    if kind is OutboundIncomplete or chance.random() < 0.1:
        source, to = to, source
    return kind(
        time_s,
        parse_address(source),
        parse_address(to),
        6,
        chance.choice(_PORTS),
        was_refused=chance.random() < 0.3,
        was_answered=chance.random() < 0.1,
    )


def _flows(chance: random.Random, time_s: float, _: Sequence[str]) -> FlowBatch:
    def some(*kinds: type[Flow]) -> list[Flow]:
        return [_flow(chance, time_s, chance.choice(kinds)) for _ in range(chance.randrange(4))]

    totals = ListenTotals(chance.randrange(9), chance.randrange(9)) if chance.random() < 0.2 else None
    made = FlowBatch(
        time_s,
        chance.random() < 0.05,
        chance.random() < 0.2,
        chance.randrange(1000) if chance.random() < 0.2 else None,
        totals,
        chance.randrange(9),
        chance.randrange(9),
        some(FlowOpened),
        some(FlowEstablished),
        some(FlowEstablished),
        some(FlowEstablished, FlowReset, FlowClosed),
        some(FlowListed) if chance.random() < 0.1 else [],
        [_incomplete(chance, time_s, FlowIncomplete) for _ in range(chance.randrange(5))],
    )
    made.ended = made.ended_keys()
    return made


def _flow(chance: random.Random, time_s: float, kind: type[Flow]) -> Flow:
    source, to = chance.choice(STRANGERS[:9]), NODE
    if chance.random() < 0.2:
        source, to = to, source
    return flow(
        kind,
        source,
        chance.choice(_PORTS),
        to=to,
        time_s=time_s,
        id=chance.randrange(1, 50),
        source_port=chance.randrange(1024, 1030),
        original_bytes=chance.randrange(1000),
        reply_bytes=chance.choice([None, 10_000_000]),
    )
