"""Kinds of values that options take."""

import time
from datetime import datetime
from typing import Any

import click

from monitor.config.types import parse_duration


class _Duration(click.ParamType):  # type: ignore[type-arg]  # a generic only in newer clicks than Debian 12 has
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read `1h30m` as seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


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
WHEN = _When()
