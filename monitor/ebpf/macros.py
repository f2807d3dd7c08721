"""Numbers that the programs in bpf/ share with Python: defined only in Python, passed to the compiler as -D flags."""

from collections.abc import Sequence

from monitor.model import protocols


def numbered(prefix: str, names: Sequence[str], *, count: str) -> dict[str, int]:
    """Return a macro `PREFIX_NAME` with the index of each name, and a macro `count` with their number."""
    return {f"{prefix}_{name.upper()}": number for number, name in enumerate(names)} | {count: len(names)}


def protocol_macros(*names: str) -> dict[str, int]:
    """Return constants of `monitor.model.protocols` as macros of the same names."""
    return {name: getattr(protocols, name) for name in names}
