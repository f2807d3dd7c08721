"""Small checks of what this machine supports and permits; they change nothing."""

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from monitor.model.errors import NodewardenError, explain


def why_not(attempt: Callable[[], object]) -> str:
    """Return why an attempt fails, with an OSError or one of our errors; empty if it succeeds."""
    try:
        attempt()
    except (OSError, NodewardenError) as error:
        return explain(error)
    return ""


def missing_module(name: str) -> str:
    """Return that a Python module is missing; empty if it is installed. The module is not imported."""
    return "" if importlib.util.find_spec(name) else f"the Python module {name} is missing"


def read_sysctl(name: str) -> str:
    """Return the value of a sysctl (`net/netfilter/nf_conntrack_acct`); empty if it cannot be read."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys", name).read_text().strip()
    return ""
