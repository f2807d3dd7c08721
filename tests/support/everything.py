"""A configuration with everything enabled."""

from pathlib import Path

from monitor.filters.library import built_in_names


def everything_on(log: Path) -> str:
    """Return a configuration with all detectors, including one per built-in filter, all of them reading this log."""
    names = [name for name in built_in_names() if name != "sshd"]  # enabled by default
    filters = "".join(f"    {name}: {{filter: {name}, files: [{log}]}}\n" for name in names)
    return (
        "bans: {budget: {bans_per_minute: 1000000}, xdp: {interfaces: [eth0]}}\n"
        "detectors:\n  egress: {approved: [10.0.0.0/8]}\n  port_scan: {shadow: {maxretry: 8}}\n"
        f"  failures:\n{filters}"
    )
