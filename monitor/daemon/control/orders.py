"""What people order over the control socket: bans, their end, the allowlist. Each thing named gets its own answer."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from monitor.bans.decision import Ended
from monitor.bans.guard import Guard
from monitor.config.port_names import read_ports
from monitor.control.protocol import MAX_BANTIME_S, MIN_BANTIME_S, AllowAdd, AllowRemove, BanOrder, RequestedBan, Unban
from monitor.daemon.control.presentation import show_decision
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.enforcers.protocol import ForeignElement
from monitor.model.addresses import Network, parse_network
from monitor.model.alerts import Strength
from monitor.model.bans import FLEET, MANUAL, MAX_ALLOWED, OTHER_PEERS, WORDS, Ban, ClaimOrigin, Mode
from monitor.model.parts import in_parts
from monitor.model.ports import MAX_PORTS, PREFIX_LENGTHS, at, can_be_limited, count, pack, show
from monitor.recording.inputs import OrderedBan
from monitor.state.changes import Allowed

_MAX_REASON = 200
_SLICE = 32
_SHOWN = 5
_STRENGTHS = {word: strength for strength, word in WORDS.items()}
Answer = dict[str, Any]
Order: TypeAlias = BanOrder | Unban | AllowAdd | AllowRemove


class AllowRecord(Protocol):
    """Who writes down what was allowed by command."""

    def put_allowed(self, entry: Allowed) -> None:
        """Note an entry."""

    def remove_allowed(self, network: Network) -> None:
        """Note that an entry is gone."""


class Orders:
    """Carries out orders on the pipeline."""

    def __init__(self, pipeline: Pipeline, record: AllowRecord) -> None:
        """`record` keeps what is allowed by command across restarts."""
        self._pipeline = pipeline
        self._record = record

    def slices(self, order: Order) -> Iterator[Callable[[], list[Answer]]]:
        """Yield the order in slices that the loop carries out between its other work; each is complete in itself.

        A ban takes a third of a millisecond, mostly in the kernel. Changes of the allowlist are one slice: each one has
        the allowlist built anew.
        """
        match order:
            case BanOrder():
                for bans in in_parts(order.bans, _SLICE):
                    yield partial(self.ban, BanOrder(bans, order.origin, order.fleet))
            case Unban(everything=True):
                yield self._forget_refused
                held = list(dict.fromkeys(ban.network.whole for ban in self._pipeline.ledger.bans()))
                for networks in in_parts(held, _SLICE):
                    yield partial(self._lift, networks)
                yield self._lift_foreign
            case Unban():
                for texts in in_parts(order.networks, _SLICE):
                    yield partial(self.unban, Unban(texts))
            case AllowAdd():
                yield partial(self.allow, order)
            case AllowRemove():
                yield partial(self.disallow, order)

    def ban(self, request: BanOrder) -> list[Answer]:
        """Ban what can be banned; each of the others is refused with a sentence."""
        now_s = time.time()
        origin = ClaimOrigin(request.origin)
        by_hand = FLEET if request.fleet else MANUAL
        name = by_hand if origin is ClaimOrigin.OPERATOR else origin.value
        answers: list[Answer | None] = []
        bans: list[OrderedBan] = []
        for wanted in request.bans:
            try:
                network = _narrowed(parse_network(wanted.network), wanted)
                bantime_s = _bantime(wanted.bantime_s)
            except ValueError as error:
                answers.append(_refusal(wanted.network, error))
                continue
            reason = wanted.reason[:_MAX_REASON]
            bans.append(OrderedBan(network, _STRENGTHS[wanted.set], bantime_s, reason, origin, name))
            answers.append(None)
        decided = iter([show_decision(decision) for decision in self._pipeline.order(bans, now_s)])
        return [answer or next(decided) for answer in answers]

    def unban(self, request: Unban) -> list[Answer]:
        """End the local claims of exactly these networks, and delete elements of other programs.

        The answers say which claims of others remain.
        """
        now_s = time.time()
        foreign = self._pipeline.table.foreign
        named = list(_networks(request.networks))
        wanted = dict.fromkeys(network for _, network in named if isinstance(network, Network))
        held = {network: self._pipeline.ledger.holders(network) for network in wanted}
        ended, forgiven = self._pipeline.unban(wanted, now_s)
        answered = {answer["network"]: answer for answer in _lifted(ended)}
        is_known = any(foreign.counts().values())
        answers = []
        for text, network in named:
            key = str(network) if isinstance(network, Network) else text
            answer = answered.get(key)
            elements = self._foreign(text, network, now_s) if is_known or answer is None else []
            if exact := [one for one in elements if str(one) == key]:
                foreign.lift(exact, now_s)
                answers.append(_done(key, " and ".join([*([answer["text"]] if answer else []), _deleted(exact)])))
            elif answer and isinstance(network, Network):
                answers.append(answer | {"text": answer["text"] + self._still_inside(network, elements)})
            elif network in forgiven:
                answers.append(_done(key, "not banned; the ban that the kernel refused is not tried again"))
            elif isinstance(network, Network):
                answers.append(_refusal(text, self._why_not_lifted(network, held[network], elements)))
            else:
                answers.append(_refusal(text, network))
        return answers

    def _lift(self, networks: Sequence[Network]) -> list[Answer]:
        """End the local claims of networks, and answer for those that had any."""
        return _lifted(self._pipeline.lift(networks, time.time()))

    def _forget_refused(self) -> list[Answer]:
        """Forget the bans that the kernel refused and that would be tried again."""
        self._pipeline.forget_refused(time.time())
        return []

    def _lift_foreign(self) -> list[Answer]:
        """Delete the elements of other programs."""
        return [_done(str(one), _deleted([one])) for one in self._pipeline.table.foreign.lift_all(time.time())]

    def _foreign(self, text: str, network: Network | ValueError, now_s: float) -> list[ForeignElement]:
        """Return the elements of other programs around a network, or with the name of a range."""
        foreign = self._pipeline.table.foreign
        if isinstance(network, Network):
            return foreign.around(network, now_s)
        return [one for one in foreign.listed(now_s) if str(one) == text]

    def allow(self, request: AllowAdd) -> list[Answer]:
        """Never ban these networks again, and end the bans that overlap them; the answers name what ended."""
        answers = []
        entries = []
        now_s = time.time()
        reason = f"allowed by command: {request.reason[:_MAX_REASON]}" if request.reason else "allowed by command"
        for text, network in _networks(request.networks):
            if not isinstance(network, Network):
                answers.append(_refusal(text, network))
                continue
            entries.append(Allowed(network, reason, now_s))
            answers.append(_done(str(network), "allowed"))
        ended = self._pipeline.allow([entry.entry for entry in entries], now_s)
        if ended is None:
            text = f"not allowed: the allowlist has room for {MAX_ALLOWED} networks; remove some, or allow wider ones"
            return [{**answer, "done": False, "text": text} if answer["done"] else answer for answer in answers]
        for entry in entries:
            self._record.put_allowed(entry)
        by_network = _ended_by(entries, ended)
        wide = f"; PROBLEM: {wide}" if (wide := self._pipeline.guard.breadth.problem) else ""
        return [
            {**one, "text": f"{one['text']}{_ended(by_network.get(one['network'], ()))}{wide}"} if one["done"] else one
            for one in answers
        ]

    def disallow(self, request: AllowRemove) -> list[Answer]:
        """Take back what was allowed by command; what else allows a network is named."""
        named = list(_networks(request.networks))
        gone = self._pipeline.disallow((network for _, network in named if isinstance(network, Network)), time.time())
        answers = []
        for text, network in named:
            if not isinstance(network, Network):
                answers.append(_refusal(text, network))
                continue
            entry = self._pipeline.guard.protects(network)
            still = f"; {entry.network} still is ({entry.reason})" if entry else ""
            if network in gone:
                self._record.remove_allowed(network)
                answers.append(_done(str(network), f"no longer allowed by command{still}"))
            else:
                answers.append(_refusal(text, f"was not allowed by command{still}"))
        return answers

    def _why_not_lifted(self, network: Network, held: Sequence[Ban], foreign: Sequence[ForeignElement]) -> str:
        if held:
            return (
                f"not lifted: {_claimed_by(held)}; end it there{_OR_EVERYWHERE if any(map(_is_of_node, held)) else ''}"
            )
        around = [str(ban.network) for ban in self._pipeline.ledger.covering(network)]
        around += _around(network, foreign)
        return f"not banned itself, but inside {', '.join(around)}: unban that" if around else "not banned"

    def _still_inside(self, network: Network, foreign: Sequence[ForeignElement]) -> str:
        """Name what keeps a network banned after its own ban has ended; empty if nothing does."""
        covering = [ban for ban in self._pipeline.ledger.covering(network) if ban.mode is Mode.ENFORCE]
        around = [str(ban.network) for ban in covering if ban.network.whole != network]
        around += _around(network, foreign)
        return f"; still banned inside {', '.join(around)}: unban that" if around else ""


def _around(network: Network, foreign: Sequence[ForeignElement]) -> list[str]:
    return [f"{one} (added by {one.author})" for one in foreign if one.contains(network)]


def _ended_by(entries: Sequence[Allowed], bans: Iterable[Ban]) -> dict[str, list[Ban]]:
    """Return the bans in force that entries of the allowlist ended, by network."""
    guard = Guard([entry.entry for entry in entries])
    ended: dict[str, list[Ban]] = {}
    for ban in bans:
        if ban.mode is Mode.ENFORCE and (entry := guard.protects(ban.network)):
            ended.setdefault(str(entry.network), []).append(ban)
    return ended


def _ended(bans: Sequence[Ban]) -> str:
    """Name the bans that an entry of the allowlist ended: a few, and how many more."""
    if not bans:
        return ""
    names = ", ".join(f"{ban.title} of {ban.network} ({ban.detector})" for ban in bans[:_SHOWN])
    more = f" and {len(bans) - _SHOWN} more" if len(bans) > _SHOWN else ""
    return f"; ended: {names}{more}"


def _lifted(ended: Iterable[Ended]) -> list[Answer]:
    """Return one answer a network: what was lifted, and which claims remain."""
    by_network: dict[Network, list[Ended]] = {}
    for one in ended:
        by_network.setdefault(one.ban.network.whole, []).append(one)
    answers = []
    for network, parts in by_network.items():
        text = " and ".join(f"{part.ban.title}{_of_ports(part.ban)}" for part in parts) + " lifted"
        if remaining := [part.remaining for part in parts if part.remaining]:
            text += f"; it stays banned: {_claimed_by(remaining)}"
        answers.append(_done(str(network), text))
    return answers


def _of_ports(ban: Ban) -> str:
    return f" of {', '.join(show(ban.network.ports))}" if ban.network.ports else ""


def _narrowed(network: Network, wanted: RequestedBan) -> Network:
    """Return a network narrowed to the ports of a ban; ValueError if they are none, too many, or of no use."""
    ports = pack(pair for text in wanted.ports[: MAX_PORTS + 1] for pair in read_ports(text))
    if count(ports) > MAX_PORTS:
        raise ValueError(f"more than {MAX_PORTS} ports: ban all of them instead")
    if ports and wanted.set == WORDS[Strength.DESTINATION]:
        raise ValueError("a destination cannot be banned by port")
    if ports and not can_be_limited(network):
        lengths = ", ".join(f"/{length}" for length in PREFIX_LENGTHS[network.bits])
        raise ValueError(f"prefixes of this length cannot be banned by port, only {lengths}")
    return at(network, ports)


def _deleted(elements: Sequence[ForeignElement]) -> str:
    return " and ".join(f"element of set {one.set}, added by {one.author}, deleted" for one in elements)


_OR_EVERYWHERE = ", or on all nodes: `nodewarden unban --fleet`"


def _is_of_node(ban: Ban) -> bool:
    """Whether another node of the fleet claims it."""
    return ban.origin is ClaimOrigin.PEER and ban.detector not in OTHER_PEERS


def _claimed_by(bans: Iterable[Ban]) -> str:
    names = dict.fromkeys(f"{ban.origin} {ban.detector}" for ban in bans)
    return "claimed by " + ", ".join(names)


def _networks(texts: Iterable[str]) -> Iterable[tuple[str, Network | ValueError]]:
    for text in texts:
        try:
            yield text, parse_network(text)
        except ValueError as error:
            yield text, error


def _bantime(bantime_s: float) -> float:
    if not MIN_BANTIME_S <= bantime_s <= MAX_BANTIME_S:
        raise ValueError(f"a ban lasts from 1 s to 10 years, not {bantime_s:g} s")
    return bantime_s


def _done(network: str, text: str) -> Answer:
    return {"network": network, "done": True, "text": text}


def _refusal(network: str, reason: object) -> Answer:
    return {"network": network, "done": False, "text": str(reason)}
