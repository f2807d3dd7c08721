"""Exposure of the systemd unit, as rated by systemd."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.registry import BenchmarkError, Figure, benchmark

_UNIT = Path("systemd/nodewarden.service")
_LIMIT = 2.0


@benchmark("unit_exposure")
def unit_exposure() -> Iterator[Figure]:
    """Exposure of the unit (0 to 10) as `systemd-analyze security --offline=true` counts it.

    Fails above 2.0. `systemd-analyze security nodewarden` lists the contributions on an installed node. No peer.
    """
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as directory:
        unit = Path(directory, _UNIT.name)
        unit.write_text(_UNIT.read_text().replace("@PREFIX@", "/opt/nodewarden"))
        command = ["systemd-analyze", "security", "--offline=true", str(unit)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    if found is None:
        raise BenchmarkError(f"systemd-analyze reports no exposure: {told}")
    if (exposure := float(found[1])) > _LIMIT:
        raise BenchmarkError(f"exposure is {exposure}, expected at most {_LIMIT}")
    yield Figure("unit_exposure", exposure, "of 10")
