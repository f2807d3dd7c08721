"""Which detectors read a log that an operator names, and what its place says of who wrote it."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from monitor.config.faults import show_path
from monitor.daemon.replay.foreign.builtin_filters import filters_for
from monitor.daemon.sources.log_filters import LogFilters
from monitor.files.permissions import file_writer
from monitor.model.errors import ConfigError
from monitor.model.writers import FileWriter

_ROTATED = re.compile(r"(?P<name>.+?)(?P<number>[.-]\d{1,8}(?:-\d{1,10})?)?(?P<packed>\.(?:gz|xz|bz2|zst))?")


class LogChoice(msgspec.Struct, frozen=True):
    """Who reads a log."""

    detectors: tuple[str, ...]
    writer: FileWriter | None
    """None: not known, so that the lines prove nothing."""
    notes: tuple[str, ...] = ()


def unrotated(path: Path) -> tuple[Path, tuple[int, int]]:
    """Return the name that a log has before it is rotated, and what orders the parts of a set: the oldest first.

    `auth.log.2.gz` comes before `auth.log.1`, `auth.log-20261101` before `auth.log-20261108`, `auth.log` last.
    """
    match = _ROTATED.fullmatch(path.name)
    number = match["number"] if match else None
    if match is None or number is None:
        return (path.with_name(match["name"]) if match else path), (1, 0)
    digits = int(number[1:].partition("-")[0])
    is_date = number.startswith("-") or len(number) > 5
    return path.with_name(match["name"]), (0, digits if is_date else -digits)


def choose(path: Path, filters: LogFilters, named: Sequence[str], *, has_packets: bool) -> LogChoice:
    """Return the detectors for a log, by its place, then by its name; all of them where neither says.

    `named` are those that the operator names instead: ConfigError if there is no such detector, or its filter is not
    fit. A log of packets is read for others only if its name says so.
    """
    for name in named:
        if name not in filters.definitions:
            why = filters.faults.get(name) or "neither a detector that reads logs nor a built-in filter"
            there = ", ".join(sorted(filters.definitions)) or "none"
            raise ConfigError(f"{name}: {why}; detectors are {there}; `nodewarden filter list` names the filters")
    plain = unrotated(path.absolute())[0]
    by_place = {name: found for name in filters.definitions if (found := _match(str(plain), _patterns(filters, name)))}
    if by_place:
        writer = file_writer(str(path.absolute()))
        writer = msgspec.structs.replace(writer, path=str(plain), real_path=str(plain)) if writer.real_path else writer
        return LogChoice(tuple(named) or tuple(by_place), writer)
    by_name = {
        name: found for name in filters.definitions if (found := _match_name(plain.name, _patterns(filters, name)))
    }
    detectors = tuple(named) or tuple(by_name)
    notes: tuple[str, ...] = ()
    if not detectors and not has_packets:
        detectors = tuple(filters.definitions)
        tried = f"those of {', '.join(detectors)} were tried" if detectors else "there is none at all"
        notes = (f"no detector reads a log named {show_path(Path(plain.name))}: {tried}",)
        if fitting := filters_for(plain.name):
            notes += (f"built-in filters for it: {', '.join(fitting)}; try one with `--filter {fitting[0]}`",)
    place = _place(detectors, by_name, filters) if named or by_name else ""
    if not place:
        return LogChoice(detectors, None, notes)
    note = f"who wrote it is taken to be as for {place}"
    return LogChoice(detectors, FileWriter(place, place), (*notes, note))


def _place(detectors: Sequence[str], by_name: Mapping[str, str], filters: LogFilters) -> str:
    """Return where the log belongs: by its name, otherwise where the first detector reads; empty: not known."""
    places = [by_name[name] for name in detectors if name in by_name]
    places += [one for name in detectors[:1] for one in _patterns(filters, name)]
    return next((one for one in places if not any(char in one for char in "*?[")), "")


def _patterns(filters: LogFilters, name: str) -> tuple[str, ...]:
    """Return where a detector may read files, whether it does so on this machine or not."""
    alternatives = filters.alternatives.get(name)
    other = (*alternatives.files, *alternatives.rest) if alternatives else ()
    return tuple(dict.fromkeys((*filters.files.get(name, ()), *other, *filters.definitions[name].files)))


def _match(path: str, patterns: Sequence[str]) -> str:
    return next((one for one in patterns if one.count("/") == path.count("/") and fnmatch.fnmatchcase(path, one)), "")


def _match_name(name: str, patterns: Sequence[str]) -> str:
    """Return the pattern for files of this name; one for every name in a directory says nothing."""
    found = ((one, one.rpartition("/")[2]) for one in patterns)
    return next((one for one, last in found if last.strip("*?") and fnmatch.fnmatchcase(name, last)), "")
