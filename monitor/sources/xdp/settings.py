"""What the XDP program is configured with: parts of section `bans`, since what it enforces are bans."""

from typing import NamedTuple


class XdpSettings(NamedTuple):
    """What the program is loaded for: another `max_bans` needs other maps."""

    interfaces: tuple[str, ...]
    """`bans.xdp.interfaces`; empty: none."""
    max_bans: int
    """`bans.max_bans`."""
