"""Durations in the notation of Go's `time.Duration`: `3h59m59.5s`, `-4m0.068s`, `850ms`. Pure."""

import re

_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(h|ms|m|s|us|µs|μs|ns)")
_LONGEST = 64


def parse_duration_s(text: str) -> float:
    """Return seconds, which may be negative; ValueError if it is no duration."""
    digits = text.removeprefix("-")
    if digits == "0":
        return 0.0
    seconds, at = 0.0, 0
    while len(text) <= _LONGEST and (found := _PART.match(digits, at)):
        seconds += float(found[1]) * _UNITS_S[found[2]]
        at = found.end()
    if not at or at != len(digits):
        raise ValueError(f"{text[:_LONGEST]!r} is no duration")
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Write a number of seconds as LAPI reads it."""
    return f"{max(1, round(seconds))}s"
