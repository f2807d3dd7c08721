"""Kinds of values that options take."""

import time
from datetime import datetime
from typing import Any

import click

from monitor.config.types import parse_duration


class _Duration(click.ParamType):  # type: ignore[type-arg]  # a generic only in newer clicks than Debian 12 has
    name = "duration"

    def __init__(self, least_s: float = 0.0) -> None:
        """Take at least `least_s` seconds."""
        self._least_s = least_s

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


DURATION = _Duration()
LASTING = _Duration(0.1)
"""A duration in which something is measured."""
WHEN = _When()
