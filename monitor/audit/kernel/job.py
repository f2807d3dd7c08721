"""What the parent asks of the child in the throw-away namespace, and what the child answers."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from monitor.audit.reach import Protocol


class LinkCopy(msgspec.Struct, frozen=True, kw_only=True):
    """An interface to make: the name and hardware address of the node's, and its addresses as `10.0.0.1/24`."""

    name: str
    mac: str = ""
    addresses: tuple[str, ...] = ()
    group: str = ""
    """As ip(8) names it; empty for that of all interfaces."""


class Question(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One packet to send: where it arrives, from which addresses (one for each attempt), to where."""

    link: str
    sources: tuple[str, ...]
    address: str
    port: int
    protocol: Protocol


class Socket(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A socket to bind, so that a packet that the rules let through is answered."""

    protocol: Protocol
    address: str
    port: int
    is_v6_only: bool
    device: str = ""
    """The only interface that it takes packets of; empty for all."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the child needs: it reads nothing of the node."""

    links: tuple[LinkCopy, ...]
    routes: tuple[str, ...] = ()
    """Arguments of `ip route replace`; one that is refused is left out."""
    is_whole: bool = True
    """Whether these are all interfaces and routes of the node."""
    sysctls: Mapping[str, str] = {}
    """By path below /proc/sys."""
    tables: tuple[bytes, ...] = ()
    """One text of nft(8) for each table."""
    restores: tuple[tuple[str, bytes], ...] = ()
    """Programs such as `iptables-nft-restore`, and what they read."""
    sockets: tuple[Socket, ...] = ()
    questions: tuple[Question, ...] = ()
    traced: int = 0
    """This many of the questions, from the first on, are traced."""
    limiting: tuple[tuple[str, str, str], ...] = ()
    """Chains that count packets, as family, table and name: what met one and got no answer is asked again."""
    translating: tuple[tuple[str, str, str], ...] = ()
    """Base chains that translate destinations, as family, table and chain."""
    from_world: tuple[int, ...] = ()
    """Positions of questions that are asked again without translation if they leave the node."""
    time_limit_s: float = 20.0


class TraceStep(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A rule that a traced packet met; `position` counts the rules of the chain, -1: its policy."""

    family: str
    table: str
    chain: str
    position: int
    verdict: str


class Answer(msgspec.Struct, kw_only=True, array_like=True):
    """What became of the packets of one question."""

    kind: Literal["", "answered", "arrived", "left", "refused", "reset", "unbound", "unsure"] = ""
    """`answered`: a listener; `arrived`: a datagram at a socket; `left`: over an interface, to `to_address`;
    `refused`: with an ICMP error; `reset`: with a TCP reset; empty: nothing came; `unbound`: its listener is not in the
    copy; `unsure`: nothing came, no rule dropped it, and something of the node is not in the copy."""
    to_address: str = ""
    to_port: int = 0
    out_link: str = ""
    steps: list[TraceStep] = []


class Result(msgspec.Struct, kw_only=True):
    """The answers by the position of the question, and what could not be copied."""

    answers: list[Answer] = []
    loss: list[str] = []
    lost_tables: list[int] = []
    """Positions in `Job.tables` of those that nft refused."""
    is_incomplete: bool = False
    """Tables of iptables could not be restored."""
    undecided: list[int] = []
    """Questions without an answer where rules limit rates: a fresh count might have let the packet through."""
    untranslated: list[tuple[int, Answer]] = []
    """What became of questions that left the node when nothing translated them."""
    error: str = ""
