"""Finds out what would load the node's rules at the next boot: enabled units, and the files that they load.

Nothing is asked of systemd: a unit is enabled by a link in a directory of wants, and that can be read in any mount
namespace that has the host's `/etc`.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from monitor.audit.ruleset import Persistence
from monitor.files.regular import read_regular

_FILES = {
    "nftables.service": ("etc/nftables.conf", "etc/sysconfig/nftables.conf"),
    "netfilter-persistent.service": ("etc/iptables/rules.v4", "etc/iptables/rules.v6"),
    "iptables.service": ("etc/sysconfig/iptables", "etc/iptables/iptables.rules"),
    "ip6tables.service": ("etc/sysconfig/ip6tables", "etc/iptables/ip6tables.rules"),
    "ufw.service": (
        "etc/ufw/user.rules",
        "etc/ufw/user6.rules",
        "etc/ufw/before.rules",
        "etc/ufw/before6.rules",
        "etc/ufw/after.rules",
        "etc/ufw/after6.rules",
    ),
    "firewalld.service": (),
}
_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
_LOADS = re.compile(r"^Exec\w+=.*\b(nft|ip6?tables(-nft)?-restore|ferm|shorewall)\b", re.MULTILINE)
_INCLUDE = re.compile(r'^\s*include\s+"([^"\n]{1,512})"', re.MULTILINE)
_MAX_FILE = 4 * 2**20
_MAX_UNIT = 65_536
_MAX_FILES = 64
_MAX_UNITS = 512


def read_persistence(root: Path = Path("/")) -> Persistence:
    """Return the units that load rules at boot, and what their files hold. Raises nothing."""
    try:
        enabled = sorted(set(_enabled(root)))
    except OSError:
        return Persistence()
    if not enabled:  # no systemd, or a mount namespace without its directories: nothing is known
        return Persistence()
    loaders: list[str] = []
    texts: dict[str, str] = {}
    for unit in enabled:
        if unit not in _FILES and not _is_loader(root, unit):
            continue
        loaders.append(unit)
        for name in _FILES.get(unit, ()):
            for path, text in _with_includes(root, root / name):
                if len(texts) < _MAX_FILES:
                    texts[path] = text
    return Persistence(is_known=True, loaders=tuple(loaders), texts=texts)


def _enabled(root: Path) -> Iterator[str]:
    for directory in _UNITS:
        for wants in islice(sorted((root / directory).glob("*.target.[wr]*")), _MAX_UNITS):
            if wants.suffix in (".wants", ".requires"):
                yield from (link.name for link in islice(wants.iterdir(), _MAX_UNITS) if link.suffix == ".service")


def _is_loader(root: Path, unit: str) -> bool:
    """Whether a unit of the operator loads rules."""
    return any(_LOADS.search(_text(root / directory / unit, _MAX_UNIT)) for directory in _UNITS[:1])


def _with_includes(root: Path, path: Path) -> Iterator[tuple[str, str]]:
    if not (text := _text(path, _MAX_FILE)):
        return
    yield f"/{path.relative_to(root)}", text
    for pattern in _INCLUDE.findall(text)[:_MAX_FILES]:
        if "**" in pattern or ".." in pattern:  # a walk without end
            continue
        relative = pattern.lstrip("/") if pattern.startswith("/") else f"etc/{pattern}"
        try:
            for included in islice(sorted(root.glob(relative)), _MAX_FILES):
                if inner := _text(included, _MAX_FILE):
                    yield f"/{included.relative_to(root)}", inner
        except (ValueError, NotImplementedError, OSError):  # a pattern that glob refuses
            continue


def _text(path: Path, limit_bytes: int) -> str:
    try:
        return read_regular(path, limit_bytes)[:limit_bytes].decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
