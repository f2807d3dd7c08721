"""The settings of drop counting, section `sources.drops`."""

from typing import Annotated, NamedTuple

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.config.shapes import Section
from monitor.config.types import PortRange
from monitor.model.addresses import Network


class DropsSettings(Section, frozen=True, kw_only=True):
    """Packets that the kernel drops, and why."""

    enabled: Annotated[
        bool,
        Meta(
            description="Count with eBPF which packets the kernel drops, by source and reason. Where bcc or the kernel "
            "lacks support, other sources keep working."
        ),
    ] = True
    all_namespaces: Annotated[
        bool,
        Meta(
            description="Count sources whose packets are dropped in other network namespaces, such as those of pods, "
            "for detectors too. Metrics report those drops separately in any case."
        ),
    ] = False

    pods: Annotated[
        int,
        integer(0, 500),
        Meta(
            description="Count drops in the network namespaces of pods, and export this many pods, those with most "
            "drops, as series of their own (`nodewarden_pod_dropped_packets_total`); the others add up to `other`. "
            "0: not counted. `nodewarden drops --by pod` works in any case."
        ),
    ] = 0


class DropCounting(NamedTuple):
    """What the program is loaded for: its own section, and what detectors want counted."""

    section: DropsSettings
    overlay_peers: tuple[Network, ...] = ()
    """`detectors.drop_rate.overlay_peers`."""
    client_ports: PortRange = PortRange(32_768, 60_999)
    """`detectors.ephemeral_ports`: UDP to these is no probe."""
