"""Known-good and known-bad sources: the one place that decides whose ban would be a mistake, and whose is wanted.

`compare` counts bans of known-good sources, `tune` avoids them, `apply` goes back because of one. An operator's label
has the last word. Without one, the allowlist, internal networks and clients of long standing are known-good. Nobody is
known-bad but by a label: what detectors find is what is being judged.
"""

import enum
from collections.abc import Iterable, Iterator
from typing import Protocol

from monitor.bans.guard import Guard
from monitor.daemon.pipeline.wiring import build_guard, build_surrounding
from monitor.daemon.tuning.client_history import ClientHistory
from monitor.daemon.tuning.labels import Labels, Opinion
from monitor.model.addresses import Address, Network, host
from monitor.model.bans import AllowEntry
from monitor.model.networks import Networks, NodeNetworks
from monitor.model.sysctls import Sysctls
from monitor.recording.inputs import Configured, Events, Flood, Input, Restored, Skipped, Surrounded
from monitor.recording.key_inputs import KeyInputs
from monitor.settings.schema import Settings


class Mark(enum.StrEnum):
    """What is known of a source; a closed set, used in JSON."""

    GOOD = "good"
    """Labelled so by the operator."""
    BAD = "bad"
    """Labelled so by the operator."""
    ALLOWLISTED = "allowlisted"
    INTERNAL = "internal"
    """In an internal network (`bans.internal`)."""
    CLIENT = "client"
    """It completed handshakes in hours before and after, and hardly anything was found against it in these."""


def unlike_pseudonyms(settings: Settings, labels: Labels) -> str:
    """Say what of a configuration and labels means nothing in a recording under pseudonyms; empty: nothing is named."""
    named = [text for text, some in (("bans.allowlist", settings.bans.allowlist), ("labels", len(labels))) if some]
    if not named:
        return ""
    return (
        f"the recording has pseudonyms: addresses of {' and '.join(named)} are others there, except private ones, so "
        "that known-good sources may count as strangers"
    )


KNOWN_GOOD = frozenset({Mark.GOOD, Mark.ALLOWLISTED, Mark.INTERNAL, Mark.CLIENT})


class Clientele(Protocol):
    """Tells clients from strangers."""

    def is_client(self, network: Network, at_s: float | None = None) -> bool:
        """Whether there is a client in the network, at a time or at any."""


class KnownGood:
    """Who is known-good, given the parts that say so."""

    def __init__(self, labels: Labels, guard: Guard, internal: Networks, clients: Clientele) -> None:
        """Take labels, allowlist, internal networks and clients as they are now."""
        self._labels = labels
        self._guard = guard
        self._internal = internal
        self._clients = clients

    def marks(self, network: Network, at_s: float | None = None) -> tuple[Mark, ...]:
        """Return all that is known of a network; at a wall time in seconds, or without regard to time."""
        label = self._labels.of(network)
        found = {
            Mark.GOOD: label is not None and label.opinion is Opinion.GOOD,
            Mark.BAD: label is not None and label.opinion is Opinion.BAD,
            Mark.ALLOWLISTED: self._guard.protects(network.whole) is not None,
            Mark.INTERNAL: network.address in self._internal,
            Mark.CLIENT: self._clients.is_client(network, at_s),
        }
        return tuple(mark for mark, holds in found.items() if holds)

    def is_good(self, address: Address) -> str:
        """Return why a ban of an address would be a mistake, in one word; empty if it would not be."""
        return good_reason(self.marks(host(address)))

    def is_bad(self, address: Address) -> bool:
        """Whether the operator labelled an address bad."""
        return Mark.BAD in self.marks(host(address))


def good_reason(marks: Iterable[Mark]) -> str:
    """Return what makes a source known-good, in one word; empty if nothing does, or if it is labelled bad."""
    known = tuple(marks)
    return "" if Mark.BAD in known else next((mark.value for mark in known if mark in KNOWN_GOOD), "")


class Witness:
    """Follows the inputs of a recording, and knows afterwards who was known-good in it. Memory is bounded."""

    def __init__(self, labels: Labels) -> None:
        """Start before the first input."""
        self._labels = labels
        self._keys = KeyInputs()
        self.clients = ClientHistory()

    def watch(self, inputs: Iterable[Input | Skipped]) -> Iterator[Input | Skipped]:
        """Yield inputs as they are, and learn from them."""
        take = self.clients.take
        for one in inputs:
            if type(one) is Events:
                take(one.events, one.time_s)
            else:
                self._follow(one)
            yield one
        self.clients.finish()

    def _follow(self, one: Input | Skipped) -> None:
        if isinstance(one, Flood):
            self.clients.take_flood(one.sources, one.time_s)
        elif not isinstance(one, Skipped):
            self._keys.follow(one)

    @property
    def configured(self) -> Configured | None:
        """The configuration that was in force last; None if the recording has none."""
        return next((one for one in self._keys.inputs(0.0) if isinstance(one, Configured)), None)

    def known_good(self, settings: Settings) -> KnownGood:
        """Return who was known-good at the end, by the allowlist and the internal networks of a configuration."""
        around, ignored, added = Surrounded(0.0, []), list[AllowEntry](), list[AllowEntry]()
        for one in self._keys.inputs(0.0):
            match one:
                case Surrounded():
                    around = one
                case Configured(allowed=ignored):
                    pass
                case Restored(allowed=added):
                    pass
        networks, sysctls = around.networks or NodeNetworks(), around.sysctls or Sysctls()
        guard = build_guard(settings, added, around.entries, ignored)
        internal = build_surrounding(settings, guard, around.entries, networks, sysctls).internal
        return KnownGood(self._labels, guard, internal, self.clients)
