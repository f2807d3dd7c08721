"""Inputs under pseudonyms: addresses and names are mapped, log lines and people's words are left out.

What stays are times, ports, protocols, counts, names of detectors and interfaces, and log prefixes: what detectors
count. Left out are hardware addresses (only whether a packet was a broadcast stays), log lines, reasons that people
gave, and the windows of an earlier run, which are kept by address in a form of each detector.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from monitor.model.addresses import Network
from monitor.model.bans import AllowEntry, Ban, Offence, ban_key, read_ban_key
from monitor.model.events import AuthFailure, DropsObserved, PacketLogged, QuotedPacket, SenderObserved
from monitor.model.flows import FlowBatch, FlowIncomplete, OutboundIncomplete
from monitor.model.networks import NodeNetworks
from monitor.model.services import Service
from monitor.recording.inputs import (
    ClockSet,
    Configured,
    Corrected,
    Drew,
    Events,
    Flood,
    Gap,
    Input,
    KnownService,
    Listening,
    Lost,
    Ordered,
    Refused,
    Restored,
    Started,
    Surrounded,
    Ticked,
    Withdrawn,
)
from monitor.recording.pseudonyms import Pseudonyms

_replace = msgspec.structs.replace
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_ONE_HOST = "02:00:00:00:00:00"
_FLOW_LISTS = ("opened", "completed", "late", "ending", "listed", "incomplete")


class Anonymous:
    """Maps inputs by a key."""

    def __init__(self, pseudonyms: Pseudonyms, meanings: Iterable[str] = ()) -> None:
        """Take the key. `meanings` are starts of reasons to protect a network that decisions depend on: they stay."""
        self._names = pseudonyms
        self._meanings = tuple(meanings)
        self._by_type: dict[type[Any], Callable[[Any], Any]] = {
            Started: lambda one: _replace(one, node=self._names.word("node", one.node)),
            Configured: self._configured,
            Surrounded: lambda one: _replace(
                one,
                entries=self._entries(one.entries),
                networks=one.networks and self._around(one.networks),
            ),
            Listening: lambda one: _replace(one, services=[self._service(service) for service in one.services]),
            Restored: self._restored,
            Corrected: lambda one: _replace(one, claims=[self._ban(ban) for ban in one.claims]),
            Events: lambda one: Events(one.time_s, [self.event(event) for event in one.events]),
            Ordered: self._ordered,
            Withdrawn: lambda one: _replace(
                one, places=one.places and [(self._names.network(network), how) for network, how in one.places]
            ),
            Refused: lambda one: _replace(
                one,
                refusals=[
                    _replace(it, key=self._key(it.key), reason=self._names.text(it.reason)) for it in one.refusals
                ],
            ),
            Lost: lambda one: _replace(
                one, reasons={self._key(key): self._names.text(text) for key, text in one.reasons.items()}
            ),
            Gap: lambda one: _replace(one, reason=self._names.text(one.reason)),
            Flood: lambda one: _replace(
                one, sources=[(self._names.address(source), count) for source, count in one.sources]
            ),
            Ticked: lambda one: one,
            Drew: lambda one: one,
            ClockSet: lambda one: one,
        }
        self._by_event: dict[type[Any], Callable[[Any], Any]] = {
            PacketLogged: self._packet,
            AuthFailure: lambda one: _replace(
                one,
                source=self._names.address(one.source),
                log=one.log if one.log == "journal" else self._names.word("log", one.log),
                user=self._names.word("user", one.user),
                doubt=self._names.text(one.doubt),
                line="",
            ),
            DropsObserved: lambda one: _replace(
                one, source=self._names.address(one.source), outer=self._optional(one.outer)
            ),
            SenderObserved: lambda one: _replace(one, source=self._names.address(one.source)),
            FlowIncomplete: self._attempt,
            OutboundIncomplete: self._attempt,
            FlowBatch: self._batch,
        }

    def input(self, one: Input) -> Input:
        """Return an input under pseudonyms; a gap for one that somebody made up, with addresses that are none."""
        try:
            mapped: Input = self._by_type[type(one)](one)
        except (ValueError, IndexError):
            return Gap(one.time_s, "recording", 0, "an input without possible addresses is left out")
        return mapped

    def event(self, event: Any) -> Any:
        """Return an event under pseudonyms."""
        return self._by_event[type(event)](event)

    def _optional(self, address: bytes | None) -> bytes | None:
        return None if address is None else self._names.address(address)

    def _packet(self, one: PacketLogged) -> PacketLogged:
        quoted = one.quoted
        if quoted is not None:
            ends = self._names.address(quoted.source), self._names.address(quoted.destination)
            quoted = QuotedPacket(*ends, quoted.protocol, quoted.source_port, quoted.destination_port)
        return _replace(
            one,
            source=self._names.address(one.source),
            destination=self._names.address(one.destination),
            mac=_BROADCAST if _is_broadcast(one) else _ONE_HOST,
            quoted=quoted,
        )

    def _attempt(self, one: FlowIncomplete) -> FlowIncomplete:
        return _replace(
            one,
            source=self._names.address(one.source),
            destination=self._names.address(one.destination),
            real_destination=self._optional(one.real_destination),
            translated_source=self._optional(one.translated_source),
        )

    def _batch(self, batch: FlowBatch) -> FlowBatch:
        lists = {name: [self._attempt(flow) for flow in getattr(batch, name)] for name in _FLOW_LISTS}
        return _replace(batch, **lists)

    def _configured(self, one: Configured) -> Configured:
        return _replace(
            one,
            document=self._plain(one.document),
            sections=self._plain(one.sections),
            allowed=self._entries(one.allowed),
            offences=[self._offence(offence) for offence in one.offences],
        )

    def _plain(self, value: Any) -> Any:
        """Return plain data with the addresses in its texts replaced, those of keys as well."""
        if isinstance(value, str):
            return self._names.text(value)
        if isinstance(value, Mapping):
            return {self._plain(key): self._plain(item) for key, item in value.items()}
        return [self._plain(item) for item in value] if isinstance(value, list | tuple) else value

    def _restored(self, one: Restored) -> Restored:
        return _replace(
            one,
            claims=[self._ban(ban) for ban in one.claims],
            offences=[self._offence(offence) for offence in one.offences],
            allowed=self._entries(one.allowed),
            windows={},
            services=[KnownService(self._service(known.service), known.seen_s) for known in one.services],
        )

    def _ordered(self, one: Ordered) -> Ordered:
        return _replace(
            one,
            bans=[_replace(ban, network=self._names.network(ban.network), reason="") for ban in one.bans],
            networks=[self._names.network(network) for network in one.networks],
            entries=self._entries(one.entries),
        )

    def _entries(self, entries: list[AllowEntry]) -> list[AllowEntry]:
        return [AllowEntry(self._names.network(one.network), self._meaning(one.reason)) for one in entries]

    def _meaning(self, reason: str) -> str:
        """Return what of a reason decisions depend on; names of people may follow it."""
        return next((one for one in self._meanings if reason.startswith(one)), "allowed")

    def _around(self, networks: NodeNetworks) -> NodeNetworks:
        parts: dict[str, tuple[Network, ...]] = {
            name: tuple(map(self._names.network, getattr(networks, name))) for name in NodeNetworks.__struct_fields__
        }
        return NodeNetworks(**parts)

    def _ban(self, ban: Ban) -> Ban:
        return _replace(ban, network=self._names.network(ban.network), reason="")

    def _offence(self, offence: Offence) -> Offence:
        return _replace(offence, network=self._names.network(offence.network), reason="", evidence=b"")

    def _service(self, service: Service) -> Service:
        address, protocol, port = service
        return self._names.address(address) if address else address, protocol, port

    def _key(self, key: bytes) -> bytes:
        if not key:
            return key
        network, strength = read_ban_key(key)
        return ban_key(self._names.network(network), strength)


def _is_broadcast(one: PacketLogged) -> bool:
    """Whether a packet was sent to the link-layer broadcast; without a link-layer header its address tells."""
    return one.mac.startswith(_BROADCAST) if one.mac else len(one.destination) == 4 and one.destination[3] == 0xFF
