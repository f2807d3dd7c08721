"""Numbers that the programs in bpf/ share with Python: declared in Python alone, given to the compiler as -D flags."""

from collections.abc import Sequence

from monitor.model import protocols


def numbered(prefix: str, names: Sequence[str], *, count: str) -> dict[str, int]:
    """Return a macro for each name, `PREFIX_NAME`, with its index, and `count` with how many there are."""
    return {f"{prefix}_{name.upper()}": number for number, name in enumerate(names)} | {count: len(names)}


def protocol_macros(*names: str) -> dict[str, int]:
    """Return constants of `monitor.model.protocols` as macros of the same names."""
    return {name: getattr(protocols, name) for name in names}
