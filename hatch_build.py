"""Ships the eBPF sources and the default configuration inside the wheel; an editable install reads them in place."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShipData(BuildHookInterface[Any]):
    """Adds what lives beside the package to a real wheel only."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Map the repository's folders into the package."""
        if version == "standard":
            build_data["force_include"].update(
                {"bpf": "monitor/ebpf/bpf", "systemd/nodewarden.yaml": "monitor/settings/nodewarden.yaml"}
            )
