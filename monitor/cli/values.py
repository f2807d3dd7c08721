"""Kinds of values that options take."""

import math
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from monitor.config.port_names import read_ports
from monitor.config.types import parse_duration
from monitor.control.protocol import LONGEST_TRIAL_S, MAX_BANTIME_S, MIN_BANTIME_S, SHORTEST_TRIAL_S
from monitor.model.addresses import Network, parse_address, parse_network


class _Duration(click.ParamType):  # type: ignore[type-arg]  # a generic only in newer clicks than Debian 12 has
    name = "duration"

    def __init__(self, least_s: float = 0.0, most_s: float = math.inf) -> None:
        """Take from `least_s` to `most_s` seconds."""
        self._least_s = least_s
        self._most_s = most_s

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `1h30m` as seconds."""
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < self._least_s:
            self.fail(f"at least {self._least_s:g} s, not {value}", param, ctx)
        if seconds > self._most_s:
            self.fail(f"at most {self._most_s / 86400:g} days, not {value}", param, ctx)
        return seconds


class _When(click.ParamType):  # type: ignore[type-arg]
    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a duration before now, or a date or time as ISO 8601 writes it, as seconds since the epoch."""
        if isinstance(value, float):
            return value
        try:
            return time.time() - parse_duration(value)
        except ValueError:
            pass
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(
                f"{value!r} is neither a duration before now (7d, 36h) nor a date or time (2026-11-27T09:30)",
                param,
                ctx,
            )


class _Text(click.ParamType):  # type: ignore[type-arg]
    """Takes text as it is written if a parser can read it: what cannot be read is an error of usage."""

    def __init__(self, name: str, *parsers: Callable[[str], object], may_be_empty: bool = False) -> None:
        """Try the parsers in turn, which raise ValueError; the first one says what is wrong."""
        self.name = name
        self._parsers = parsers
        self._may_be_empty = may_be_empty

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        text = str(value)
        if not text and self._may_be_empty:
            return text
        if not text.isascii() and text.encode(errors="replace").decode() != text:  # surrogates stand for such bytes
            self.fail(f"an argument is not UTF-8: {text!r}", param, ctx)
        faults = [fault for parse in self._parsers if (fault := _fault(parse, text))]
        if len(faults) == len(self._parsers):
            self.fail(faults[0], param, ctx)
        return text


class _Network(click.ParamType):  # type: ignore[type-arg]
    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Network:
        """Read an address or a network."""
        if isinstance(value, Network):
            return value
        try:
            return parse_network(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _fault(parse: Callable[[str], object], text: str) -> str:
    """Return why a text cannot be read; empty if it can."""
    try:
        parse(text)
    except ValueError as error:
        return str(error) or "cannot be read"
    return ""


def _parse_range(text: str) -> None:
    """Read the first and the last address of a range, as `list` shows elements of other programs."""
    first, _, last = text.partition("-")
    if len(parse_address(first)) != len(parse_address(last)):
        raise ValueError("two families")


def _parse_next_hop(text: str) -> None:
    """Read the next hop of a route: an address, or `self`."""
    if text != "self":
        parse_address(text)


DURATION = _Duration()
TRIAL_TIME = _Duration(SHORTEST_TRIAL_S, LONGEST_TRIAL_S)
BANTIME = _Duration(MIN_BANTIME_S, MAX_BANTIME_S)
LASTING = _Duration(0.1)
"""A duration in which something is measured."""
WHEN = _When()
NETWORK = _Text("network", parse_network)
READ_NETWORK = _Network()
"""The network itself, for commands that ask no daemon."""
NETWORK_OR_RANGE = _Text("network", parse_network, _parse_range)
NETWORK_OR_ALL = _Text("network", parse_network, may_be_empty=True)
NEXT_HOP = _Text("address", _parse_next_hop)
PORTS = _Text("port", read_ports)
