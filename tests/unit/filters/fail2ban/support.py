"""Small configurations of fail2ban, written for one test each."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from monitor.filters.definition import FilterDefinition
from monitor.filters.fail2ban.filters import read_filter
from monitor.filters.fail2ban.jails import Fail2banConfiguration, Jail, read_jails


def write(directory: Path, files: dict[str, str]) -> Path:
    """Write files below a directory; returns it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def filter_of(
    directory: Path, text: str, parameters: Mapping[str, str] = MappingProxyType({}), **others: str
) -> FilterDefinition:
    """Write filter.d/demo.conf, and others beside it, in whose names `_` stands for `.`; returns what is read."""
    return filter_with(
        directory, text, {name.replace("_", "."): content for name, content in others.items()}, parameters
    )


def filter_with(
    directory: Path, text: str, others: Mapping[str, str], parameters: Mapping[str, str] = MappingProxyType({})
) -> FilterDefinition:
    """Write filter.d/demo.conf and others beside it; returns what is read."""
    files = {f"filter.d/{name}": content for name, content in others.items()}
    return read_filter(write(directory, {"filter.d/demo.conf": text, **files}), "demo", parameters)


def jails_of(directory: Path, files: dict[str, str]) -> Fail2banConfiguration:
    """Write a configuration with a filter `demo`; returns what is read of it."""
    demo = "[Definition]\nfailregex = ^bad <HOST>$\n            <more-<mode>>\nmode = normal\nmore-normal =\n"
    demo += "more-aggressive = ^very bad <HOST>$\njournalmatch = _COMM=demo\n"
    return read_jails(write(directory, {"filter.d/demo.conf": demo, **files}))


def jail_of(directory: Path, options: str, **files: str) -> Jail:
    """Return one enabled jail `web` with a filter, a log file and these options."""
    text = f"[web]\nenabled = true\nfilter = demo\nlogpath = /var/log/web.log\n{options}"
    others = {f"filter.d/{name.replace('_', '.')}": content for name, content in files.items()}
    [jail] = jails_of(directory, {"jail.conf": text, **others}).jails
    return jail
