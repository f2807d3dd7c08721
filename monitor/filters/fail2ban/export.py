"""Translates fail2ban's jails to our configuration; comments list what could not be translated."""

import datetime
import glob
import ipaddress
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from monitor.filters.date_zones import fixed_zone
from monitor.filters.fail2ban.copies import MARK, filter_yaml
from monitor.filters.fail2ban.durations import format_duration
from monitor.filters.fail2ban.jails import LONGEST_BAN_S, Fail2banConfiguration, Jail
from monitor.filters.library import built_in_names
from monitor.model.addresses import parse_network

_LONGEST_FINDTIME_S = 7 * 86_400.0
_MAX_ALLOWED = 4096
"""Networks on the allowlist of one detector."""
_LARGEST_MAXRETRY = 10_000
_LONGEST_NAME = 32
RECIDIVE_LIMITS = {"maxretry": (2, 1000), "findtime": (60.0, 4 * 604_800.0), "bantime": (1.0, LONGEST_BAN_S)}
"""The limits of `bans.recidive`; a test compares them with its section."""
_PROVEN_ONLY = "which counts proven failures only; imported jails shun, unless their section has `evidence: proven`"
_SHOWN = 8
"""Maximum number of jails named in a comment."""
_REFERENCE = re.compile(r"/[^\[\]]+\.conf(\[.*\])?")
_TERM = re.compile(r"\+|(?!__)[A-Z_][A-Z0-9_]{0,63}=\S*")


class Import(NamedTuple):
    """What takes the place of fail2ban's configuration."""

    text: str
    """A file for conf.d."""
    filters: dict[str, str]
    """The filters in our notation, by the names of their detectors; empty if fail2ban's are used in place."""


def to_yaml(configuration: Fail2banConfiguration, reserved: Container[str]) -> str:
    """Write the jails that can run as `detectors.failures`, with fail2ban's own filters; see `translate`."""
    return translate(configuration, reserved).text


def translate(
    configuration: Fail2banConfiguration,
    reserved: Container[str],
    filter_directory: Path | None = None,
) -> Import:
    """Write the jails that can run as `detectors.failures`, and what `[DEFAULT]` and `recidive` say as `bans`.

    A jail with a `reserved` name, that of another detector, gets a similar one. Comments at the top list what was left
    out, and which settings were reduced to our limits. With a `filter_directory`, the detectors use filters of our own
    there, `NAME.yaml`, in which the options of the jail are included.
    """
    export = _Export(configuration, reserved, filter_directory)
    text = export.text()
    return Import(text, export.filters)


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line."""


def _flow(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=True)


_Dumper.add_representer(list, _flow)


class _Export:
    def __init__(
        self,
        configuration: Fail2banConfiguration,
        reserved: Container[str],
        filter_directory: Path | None,
    ) -> None:
        self._configuration = configuration
        self._reserved = reserved
        self._filter_directory = filter_directory
        self.filters: dict[str, str] = {}
        self._notes: dict[str, list[str]] = {}
        """For each note, the jails that it applies to."""

    def text(self) -> str:
        """Return the whole file."""
        for fault in self._configuration.faults:
            self._note("fail2ban", fault)
        for note in self._configuration.increment.notes:
            self._note("fail2ban", note)
        failures: dict[str, Any] = {}
        for jail in self._configuration.jails:
            if detector := self._detector(jail):
                name = self._name(jail.name, failures)
                failures[name] = self._with_copy(name, jail, detector)
        content: dict[str, Any] = {"detectors": {"failures": failures}} if failures else {}
        content |= {"bans": bans} if (bans := self._bans()) else {}
        body = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1 << 30, allow_unicode=True) if content else ""
        return "".join(f"# {_comment(line)}\n" for line in self._comments()) + body

    def _comments(self) -> Iterable[str]:
        yield f"{MARK[2:]}."
        for sentence, jails in self._notes.items():
            names = list(dict.fromkeys(jails))
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            yield f"{', '.join(names[:_SHOWN])}{more}: {sentence}"

    def _note(self, jail: str, sentence: str) -> None:
        self._notes.setdefault(sentence, []).append(jail)

    def _bans(self) -> dict[str, Any]:
        """Return the section `bans`."""
        networks = self._networks(self._configuration.ignoreip)
        bans: dict[str, Any] = {"allowlist": networks} if networks else {}
        if increment := self._configuration.increment.settings:
            bans["increment"] = increment
            if increment.get("enabled"):
                self._note("fail2ban", f"bantime.increment is the section bans.increment here, {_PROVEN_ONLY}")
        recidive = next((jail for jail in self._configuration.jails if jail.is_recidive), None)
        if recidive is None:
            self._note(
                "fail2ban",
                "no jail recidive is enabled: here, sources that are banned often get a long ban "
                "(bans.recidive; switch it off with `enabled: false`)",
            )
            return bans
        self._note(recidive.name, f"is the section bans.recidive here, {_PROVEN_ONLY}")
        limits = RECIDIVE_LIMITS
        bans["recidive"] = {
            "enabled": True,
            "maxretry": int(self._within(recidive, "maxretry", recidive.maxretry, limits["maxretry"])),
            "findtime": format_duration(self._within(recidive, "findtime", recidive.findtime_s, limits["findtime"])),
            "bantime": format_duration(self._within(recidive, "bantime", recidive.bantime_s, limits["bantime"])),
        }
        return bans

    def _with_copy(self, name: str, jail: Jail, detector: dict[str, Any]) -> dict[str, Any]:
        """Return a detector that uses a copy of the filter, if there are to be copies."""
        if self._filter_directory is None or jail.filter is None:
            return detector
        self.filters[name] = filter_yaml(jail.filter)
        return detector | {"filter": str(self._filter_directory / f"{name}.yaml")}

    def _detector(self, jail: Jail) -> dict[str, Any]:
        """Return the settings of one detector; empty if the jail cannot run."""
        if jail.is_recidive:
            return {}
        if jail.fault or not (self._filter_directory or _is_ours(_REFERENCE, jail.reference)):
            self._note(jail.name, f"left out: {jail.fault or f'its filter path is not supported: {jail.reference}'}")
            return {}
        ports = list(jail.ports)
        for note in jail.notes:
            self._note(jail.name, note)
        if jail.own_options and self._filter_directory is None:
            own = ", ".join(jail.own_options)
            self._note(jail.name, f"its own {own} cannot be expressed here: use --to or detectors.from_fail2ban")
        if (vetted := Path(jail.reference.partition("[")[0]).stem) in built_in_names():
            self._note(jail.name, f"only shuns; `filter: {vetted}` is built in and vetted, and can ban")
        ignored = set(self._configuration.ignoreip)
        allowlist = self._networks((word for word in jail.ignoreip if word not in ignored), jail.name)
        settings: dict[str, Any] = {"filter": jail.reference, "backend": jail.backend}
        if jail.skip_if_nologs and jail.backend != "journal" and not any(map(glob.glob, jail.files)):
            settings = {"enabled": False} | settings
            self._note(jail.name, "is off, since none of its logs exists (skip_if_nologs)")
        settings |= self._log_sources(jail)
        settings |= {"ports": ports} if ports else {}
        if len(allowlist) > _MAX_ALLOWED:
            self._note(jail.name, f"its ignoreip has {len(allowlist)} networks: only {_MAX_ALLOWED} of them are kept")
        settings |= {"allowlist": allowlist[:_MAX_ALLOWED]} if allowlist else {}
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

    def _within(self, jail: Jail, option: str, value: float, limits: tuple[float, float]) -> float:
        limited = max(limits[0], min(value, limits[1]))
        if limited != value:
            self._note(jail.name, f"{option} is changed to {limited:g}, our limit")
        return limited

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

    def _networks(self, words: Iterable[str], whose: str = "fail2ban") -> list[str]:
        networks: dict[str, None] = {}
        for word in words:
            try:
                networks[str(parse_network(str(ipaddress.ip_network(word, strict=False))))] = None
            except ValueError:
                self._note(whose, f"ignoreip {word[:80]} is not a network, and names are not resolved")
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
