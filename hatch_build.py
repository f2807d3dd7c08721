"""Ships the eBPF sources, the default configuration and the native extension inside the wheel.

An editable install reads the first two in place. Without a compiler or Python's headers the extension is left out; with
`NODEWARDEN_NATIVE=required` in the environment the build fails instead.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShipData(BuildHookInterface[Any]):
    """Adds what lives next to the package to a real wheel, and builds the extension for every install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Map the repository's folders into the package."""
        if version == "standard":
            build_data["force_include"].update(
                {"bpf": "monitor/ebpf/bpf", "systemd/nodewarden.yaml": "monitor/settings/nodewarden.yaml"}
            )
            self._scratch = tempfile.TemporaryDirectory()
            extension = self._build(Path(self._scratch.name))
            if extension:
                build_data["force_include"][str(extension)] = f"monitor/{extension.name}"
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
        else:
            self._build(Path(self.root, "monitor"))

    def _build(self, directory: Path) -> Path | None:
        sys.path.insert(0, self.root)
        from native.build import BuildError, build

        try:
            return build(directory)
        except BuildError as error:
            if os.environ.get("NODEWARDEN_NATIVE") == "required":
                raise
            self.app.display_warning(f"the native extension was not built, Python code does its work: {error}")
            return None
