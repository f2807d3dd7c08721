"""The command `audit explain`: who can reach a port of this node, and through which rules."""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

import click
import msgspec

from monitor.audit.findings import Zone
from monitor.audit.kernel.gathering import explain_port
from monitor.audit.reach import Listener, Outcome, Protocol, Reach, Step, Verdict
from monitor.audit.rules.authors import author_of_chain
from monitor.cli import show
from monitor.cli.values import NETWORK
from monitor.model.errors import NodewardenError

_MAX_PORT = 65535
_PROTOCOLS = ("tcp", "udp")
_COLOURS = {Outcome.REACHED: "red", Outcome.UNKNOWN: "yellow", Outcome.DROPPED: "green", Outcome.REJECTED: "green"}
_FROM = {Zone.WORLD: "the world", Zone.NODES: "neighbours", Zone.PODS: "pods"}


class ExplainError(NodewardenError):
    """The port cannot be explained; the text says why."""


def _target(_: click.Context, __: click.Parameter, value: str) -> tuple[str, str, int]:
    """Return the protocol, empty if none is named, the address, empty for all of the node, and the port."""
    protocol, wanted = _protocol(value)
    address, _separator, port = wanted.rpartition(":")
    try:
        found = str(ipaddress.ip_address(address.strip("[]"))) if address else ""
        number = int(port) if port.isascii() and port.isdigit() else 0
    except ValueError:
        number = 0
    if not 0 < number <= _MAX_PORT:
        raise click.BadParameter(
            f"{value!r} is no port and no address with a port, such as 443, udp/53, 10.0.0.1:443 or [2001:db8::1]:443"
        )
    return protocol, found, number


def _protocol(value: str) -> tuple[str, str]:
    """Split what an audit prints, `udp/53`, and what nmap prints, `53/udp`, into protocol and rest."""
    first, _separator, second = value.partition("/")
    if first in _PROTOCOLS:
        return first, second
    return (second, first) if second in _PROTOCOLS else ("", value)


@click.command("explain")
@click.argument("target", metavar="[tcp/|udp/]PORT|ADDRESS:PORT", callback=_target)
@click.option("--protocol", "asked", type=click.Choice(_PROTOCOLS), help="The same as before the port.  [default: tcp]")
@click.option(
    "--pods",
    multiple=True,
    type=NETWORK,
    metavar="NETWORK",
    help="A network of pods that interfaces and routes do not show.",
)
@show.json_option
def explain(target: tuple[str, str, int], asked: Protocol | None, pods: tuple[str, ...], is_json: bool) -> None:
    """Show who can reach a port of this node, through which rules, and where it is translated to.

    Real packets are sent through a copy of the node's rules; nothing of the node changes. Where nothing listens, it
    shows what would happen if a program did. Needs root.
    """
    named, address, port = target
    if named and asked not in (None, named):
        raise click.UsageError(f"the port is of {named}, and --protocol is {asked}: leave out one of them")
    protocol: Protocol = "udp" if (named or asked) == "udp" else "tcp"
    networks = tuple(str(ipaddress.ip_network(one)) for one in pods)
    reach = explain_port(protocol, port, pod_networks=networks)
    verdicts = [one for one in reach.verdicts if address in ("", one.probe.address)]
    if address and not verdicts:
        raise ExplainError(
            f"no packet can be sent to {address} from outside: it is no address of this node, or of loopback"
        )
    if is_json:
        show.as_json({"port": port, "protocol": protocol} | _document(reach, verdicts))
    else:
        _say(reach, verdicts, protocol, port)


def _document(reach: Reach, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    return {
        "listeners": msgspec.to_builtins(reach.listeners),
        "verdicts": [
            msgspec.to_builtins(one) | {"authors": [str(author_of_step(step)) for step in one.path]} for one in verdicts
        ],
        "blind": list(reach.blind),
        "loss": list(reach.loss),
    }


def author_of_step(step: Step) -> str:
    """Return whose chain a rule is in."""
    return str(author_of_chain(step.rule.table, step.rule.chain))


def _say(reach: Reach, verdicts: list[Verdict], protocol: Protocol, port: int) -> None:
    show.say(f"{protocol}/{port}", bold=True)
    moved = sorted({f"{_end(one.to_address)}:{one.to_port}" for one in verdicts if one.to_address})
    for one in reach.listeners:
        show.say(f"  {_listener(one)}")
    if moved:
        show.say(f"  rules translate it to {show.first(moved)}")
    if not reach.listeners and not moved:
        show.say("  nothing listens, and no rule translates it: this is what would happen if a program listened")
    for text in (*reach.blind, *reach.loss):
        show.say(f"  not in the copy: {text}", fg="yellow")
    for verdict in verdicts:
        _say_verdict(verdict)
    if not verdicts:
        show.say("  only the node itself can reach it")


def _listener(one: Listener) -> str:
    where = "all addresses" if one.address in ("0.0.0.0", "::") else one.address  # noqa: S104 - compared
    family = {"0.0.0.0": " of IPv4", "::": " of IPv6" if one.is_v6_only else ""}.get(one.address, "")  # noqa: S104
    process = f"{one.process} (pid {one.pid})" if one.pid else "a process that is not known"
    return f"{process}{f' of {one.unit}' if one.unit else ''} listens at {where}{family}"


def _say_verdict(verdict: Verdict) -> None:
    probe = verdict.probe
    moved = f", sent on to {_end(verdict.to_address)}:{verdict.to_port}" if verdict.to_address else ""
    why = f": {verdict.why}" if verdict.why else ""
    start = f"  from {_FROM[probe.zone]} to {_end(probe.address)}: "
    show.say(f"{start}{verdict.outcome}{moved}{why}", fg=_COLOURS[verdict.outcome])
    for line in _path(verdict.path):
        show.say(f"    {line}")
    if not verdict.path and not verdict.why:
        show.say("    no rule decides" if verdict.outcome == Outcome.REACHED else "    no rule is known")


def _path(path: Iterable[Step]) -> Iterator[str]:
    for step in path:
        rule = step.rule
        place = f"{rule.family} {rule.table} {rule.chain}"
        text = f"{rule.text} (handle {rule.handle})" if rule.text else step.verdict
        yield f"{place} [{author_of_step(step)}]: {text}"


def _end(address: str) -> str:
    return f"[{address}]" if ":" in address else address
