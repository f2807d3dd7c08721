"""A synthetic fortnight at sshd with labels: who is an offender, who is a client, and who is a monitoring probe.

Clients mistype: mostly once or twice, sometimes as often as a forgotten password takes. Monitoring connects every few
minutes, day and night, and each probe counts as a failure. Offenders guess, some as fast as the server answers, some
hardly faster than the probes and with pauses. So neither a count nor a rate alone tells them apart: a threshold must be
above what clients do within minutes and what probes do within the hour.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

from monitor.model.addresses import Address
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure

START_S = 1_790_000_000.0
DAY_S = 86_400.0
_PROBE_EVERY_S = (120.0, 300.0, 300.0, 600.0)
_SLOWEST_PER_HOUR, _FASTEST_PER_HOUR = 48.0, 7200.0
_NEW_CLIENTS = 0.1
"""Clients that nothing shows to be known-good: they are neither offenders nor known-good."""


class Fortnight(NamedTuple):
    """Failures in the order of time, and by source what it is."""

    failures: list[AuthFailure]
    offenders: frozenset[Address]
    clients: frozenset[Address]
    """Known-good ones."""
    monitors: frozenset[Address]


def fortnight(
    *, days: int = 14, offenders: int = 20, clients: int = 5000, monitors: int = 12, attempts: int = 2000, seed: int = 1
) -> Fortnight:
    """Make one, with at most `attempts` in each campaign of an offender; the same arguments give the same events."""
    chance = random.Random(seed)
    bad = [_address(203, number) for number in range(offenders)]
    known = [_address(45, number) for number in range(clients)]
    probes = [_address(198, number) for number in range(monitors)]
    failures: list[AuthFailure] = []
    for place, one in enumerate(bad):
        share = place / max(1, offenders - 1)
        pace = _SLOWEST_PER_HOUR * (_FASTEST_PER_HOUR / _SLOWEST_PER_HOUR) ** share
        failures += _guesses(chance, one, days, pace, attempts)
    for one in known:
        failures += _mistypes(chance, one, days)
    for place, one in enumerate(probes):
        failures += _probes(chance, one, days, _PROBE_EVERY_S[place % len(_PROBE_EVERY_S)])
    failures.sort(key=lambda one: one.time_s)
    steady = known[int(_NEW_CLIENTS * len(known)) :]
    return Fortnight(failures, frozenset(bad), frozenset(steady), frozenset(probes))


def _address(first: int, number: int) -> Address:
    return bytes((first, 0, number >> 8, number & 255))


def _failure(source: Address, time_s: float, user: str) -> AuthFailure:
    return AuthFailure(time_s, "sshd", source, Strength.PROVEN, "journal", user)


def _guesses(chance: random.Random, source: Address, days: int, per_hour: float, most: int) -> Iterator[AuthFailure]:
    """Yield a few campaigns of at least two hours at this pace, at most `most` attempts each."""
    for _ in range(chance.randint(1, 4)):
        at_s = START_S + chance.random() * (days - 0.5) * DAY_S
        for _ in range(int(min(most, per_hour * chance.uniform(2, 10)))):
            at_s += 3600.0 / per_hour * chance.uniform(0.9, 1.1)
            yield _failure(source, at_s, chance.choice(["root", "admin", "test"]))


def _mistypes(chance: random.Random, source: Address, days: int) -> Iterator[AuthFailure]:
    """Yield now and then a session with one to four wrong passwords, and rarely up to seven."""
    at_s = START_S
    while (at_s := at_s + chance.expovariate(1 / (4 * DAY_S))) < START_S + days * DAY_S:
        most = 7 if chance.random() < 0.02 else chance.choice([1, 1, 1, 2, 2, 3, 4])
        for _ in range(chance.randint(1, most)):
            at_s += chance.uniform(3, 40)
            yield _failure(source, at_s, "alice")


def _probes(chance: random.Random, source: Address, days: int, every_s: float) -> Iterator[AuthFailure]:
    at_s = START_S + chance.random() * every_s
    while (at_s := at_s + every_s * chance.uniform(0.98, 1.02)) < START_S + days * DAY_S:
        yield _failure(source, at_s, "")
