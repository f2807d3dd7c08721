"""`python -m bench.fleet`: unit costs of a real redis-server, and what follows for fleets of 10 to 10,000 nodes.

About half a minute. docs/decisions/0128 has the tables of one run.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.fleet.crowd import crowd
from bench.fleet.model import PAUSE_PER_NODE_S, Fleet, Load, eager, paced
from bench.fleet.units import measure

_PORT = 26399
_BANS_PER_S = 10.0
_SIZES = (10, 100, 1000, 3000, 10_000)
_CROWD, _CROWD_BANS_PER_S, _CROWD_S = 1000, 4.0, 6.0
_HEAD = "| nodes | way | wake-ups/s | Mbit/s | cores | memory, MB | last node after, s | CPU s after a wipe |"


def main() -> None:
    """Measure, compute and print."""
    with tempfile.TemporaryDirectory(prefix="nw-bench-") as name:
        unit = measure(Path(name) / "units", _PORT)
        print("| unit | cost |\n| --- | --- |")
        for what, value in msgspec.structs.asdict(unit).items():
            print(f"| `{what}` | {value:,.1f} |")
        print(f"\n{_HEAD}\n|{' --- |' * _HEAD.count(' |')}")
        for nodes in _SIZES:
            fleet = Fleet(nodes, _BANS_PER_S)
            print("\n".join(_rows(nodes, {"eager": eager(fleet, unit), "paced": paced(fleet, unit)}.items())))
        print()
        for way, pause_s in (("eager", 0.0), ("paced", _CROWD * PAUSE_PER_NODE_S)):
            work = crowd(
                Path(name) / way,
                _PORT,
                readers=_CROWD,
                bans_per_s=_CROWD_BANS_PER_S,
                pause_s=pause_s,
                duration_s=_CROWD_S,
            )
            print(f"{way}: {_CROWD} readers, {_CROWD_BANS_PER_S:g} bans/s: {work.cores:.2f} cores measured", end=", ")
            print(f"{work.rounds_per_s:,.0f} reads/s, {work.entries:,} of {work.expected:,} records")


def _rows(nodes: int, loads: Iterable[tuple[str, Load]]) -> Iterable[str]:
    for way, load in loads:
        yield (
            f"| {nodes:,} | {way} | {load.wakes_per_s:,.0f} | {load.wire_mbit_per_s:,.1f} | {load.cores:,.2f} | "
            f"{load.memory_mb:,.0f} | {load.late_s:,.3f} | {load.return_s:,.1f} |"
        )


if __name__ == "__main__":
    main()
