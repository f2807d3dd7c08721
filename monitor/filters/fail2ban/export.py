"""Translates fail2ban's jails to our configuration; comments list what could not be translated."""

import datetime
import ipaddress
import re
from collections.abc import Container, Iterable
from typing import Any

import yaml

from monitor.filters.date_zones import fixed_zone
from monitor.filters.fail2ban.durations import format_duration
from monitor.filters.fail2ban.jails import LONGEST_BAN_S, Fail2banConfiguration, Jail
from monitor.model.addresses import parse_network

_LONGEST_FINDTIME_S = 7 * 86_400.0
_LARGEST_MAXRETRY = 10_000
_LONGEST_NAME = 32
_SHOWN = 8
"""Maximum number of jails named in a comment."""
_REFERENCE = re.compile(r"/[^\[\]]+\.conf(\[.*\])?")
_TERM = re.compile(r"\+|(?!__)[A-Z_][A-Z0-9_]{0,63}=\S*")


def to_yaml(configuration: Fail2banConfiguration, reserved: Container[str]) -> str:
    """Write the jails that can run as `detectors.failures`, and `[DEFAULT]`'s ignoreip as `bans.allowlist`.

    A jail with a `reserved` name, that of another detector, gets a similar one. Comments at the top list what was left
    out, and which settings were reduced to our limits.
    """
    return _Export(configuration, reserved).text()


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line."""


def _flow(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


_Dumper.add_representer(list, _flow)


class _Export:
    def __init__(self, configuration: Fail2banConfiguration, reserved: Container[str]) -> None:
        self._configuration = configuration
        self._reserved = reserved
        self._notes: dict[str, list[str]] = {}
        """For each note, the jails that it applies to."""

    def text(self) -> str:
        """Return the whole file."""
        for fault in self._configuration.faults:
            self._note("fail2ban", fault)
        for note in self._configuration.notes:
            self._note("fail2ban", note)
        failures: dict[str, Any] = {}
        for jail in self._configuration.jails:
            detector = self._detector(jail)
            if detector:
                failures[self._name(jail.name, failures)] = detector
        allowlist = self._networks(self._configuration.ignoreip)
        content: dict[str, Any] = {"detectors": {"failures": failures}} if failures else {}
        content |= {"bans": {"allowlist": allowlist}} if allowlist else {}
        body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1 << 30, allow_unicode=True) if content else ""
        return "".join(f"# {_comment(line)}\n" for line in self._comments()) + body

    def _comments(self) -> Iterable[str]:
        yield "Translated from fail2ban's configuration."
        for sentence, jails in self._notes.items():
            names = list(dict.fromkeys(jails))
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"{', '.join(names[:_SHOWN])}{more}: {sentence}"

    def _note(self, jail: str, sentence: str) -> None:
        self._notes.setdefault(sentence, []).append(jail)

    def _detector(self, jail: Jail) -> dict[str, Any]:
        """Return the settings of one detector; empty if the jail cannot run."""
        if jail.fault or not _is_ours(_REFERENCE, jail.reference):
            self._note(jail.name, f"left out: {jail.fault or f'its filter path is not supported: {jail.reference}'}")
            return {}
        for note in jail.notes:
            self._note(jail.name, note)
        if jail.own_options:
            own = ", ".join(jail.own_options)
            self._note(jail.name, f"its own {own} cannot be expressed here: use detectors.from_fail2ban")
        others = [word for word in jail.ignoreip if word not in self._configuration.ignoreip]
        if others:
            self._note(jail.name, f"its own ignoreip is left out, one allowlist applies to all: {' '.join(others)}")
        settings: dict[str, Any] = {"filter": jail.reference, "backend": jail.backend}
        settings |= self._log_sources(jail)
        return settings | {
            "maxretry": self._at_most(jail, "maxretry", jail.maxretry, _LARGEST_MAXRETRY),
            "findtime": format_duration(self._at_most(jail, "findtime", jail.findtime_s, _LONGEST_FINDTIME_S)),
            "bantime": format_duration(self._at_most(jail, "bantime", jail.bantime_s, LONGEST_BAN_S)),
        }

    def _log_sources(self, jail: Jail) -> dict[str, Any]:
        """Return the log that the jail reads, and the time zone of its lines."""
        files = [file for file in jail.files if file.startswith("/") and file.isprintable()]
        matches = [" ".join(terms) for terms in jail.journalmatch if all(_is_ours(_TERM, term) for term in terms)]
        zone = _zone(jail.timezone)
        if len(files) < len(jail.files):
            self._note(jail.name, "files without an absolute path are left out")
        if len(matches) < len(jail.journalmatch):
            self._note(jail.name, "a journalmatch is left out: values with spaces are not supported here")
        if jail.timezone and not zone:
            self._note(jail.name, f"logtimezone {jail.timezone[:40]} is not an offset from UTC")
        sources = {
            "files": files if jail.backend != "journal" else [],
            "journalmatch": matches if jail.backend != "files" else [],
            "timezone": zone,
        }
        return {key: value for key, value in sources.items() if value}

    def _at_most(self, jail: Jail, option: str, value: float, limit: float) -> float:
        if value > limit:
            self._note(jail.name, f"{option} is reduced to the maximum that is possible here")
        return min(value, limit)

    def _name(self, jail: str, taken: Iterable[str]) -> str:
        """Return a valid detector name as close to the jail's as possible."""
        name = re.sub("[^A-Za-z0-9_-]", "-", jail)[:_LONGEST_NAME]
        number = 1
        while name in self._reserved or name in taken:
            number += 1
            suffix = f"-{number}"
            name = f"{re.sub('[^A-Za-z0-9_-]', '-', jail)[: _LONGEST_NAME - len(suffix)]}{suffix}"
        if name != jail:
            self._note(jail, f"renamed to {name}")
        return name

    def _networks(self, words: Iterable[str]) -> list[str]:
        networks: dict[str, None] = {}
        for word in words:
            try:
                networks[str(parse_network(str(ipaddress.ip_network(word, strict=False))))] = None
            except ValueError:
                self._note("fail2ban", f"ignoreip {word[:80]} is not a network, and names are not resolved")
        return list(networks)


def _is_ours(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None and text.isprintable()


def _zone(text: str) -> str:
    """Return a time zone as `UTC+02:00`; empty for other text."""
    try:
        offset = fixed_zone(text).utcoffset(None) if text else None
    except ValueError:
        return ""
    if offset is None:
        return ""
    minutes = offset // datetime.timedelta(minutes=1)
    return f"UTC{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _comment(text: str) -> str:
    """Return a text as one line for a comment."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
