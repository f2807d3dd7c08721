"""The settings of connection tracking, section `sources.conntrack`."""

from typing import Annotated

from msgspec import Meta, field

from monitor.config.kinds import size
from monitor.config.shapes import Section


class ConntrackSettings(Section, frozen=True, kw_only=True):
    """Connections that the kernel tracks."""

    enabled: Annotated[
        bool,
        Meta(
            description="Follow connections as they open, complete a handshake and close. This finds scans that no "
            "firewall rule logs. Where the kernel lacks support, other sources keep working."
        ),
    ] = True
    buffer_bytes: Annotated[
        int,
        size("64KiB", "256MiB"),
        Meta(description="Receive buffer; events that do not fit are lost. 8 MiB carry 50,000 connections/s."),
    ] = field(default=8 << 20, name="buffer")
    all_namespaces: Annotated[
        bool,
        Meta(
            description="Also receive events of network namespaces that have an ID in this one (`ip netns set`), such "
            "as those of pods."
        ),
    ] = False
