"""The settings of drop counting, section `sources.drops`."""

from typing import Annotated

from msgspec import Meta

from monitor.config.shapes import Section


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
            "for `drop_rate` too. Metrics report those drops separately in any case."
        ),
    ] = False
