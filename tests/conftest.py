"""What a machine lacks is a reason to skip on a laptop and a failure in CI."""

import gc
import os
from collections.abc import Sequence

import hypothesis
import pytest

from monitor.ebpf.compiled_cache import VARIABLE
from tests.support.needs import cannot_run, missing
from tests.support.root_image import CACHE

hypothesis.settings.register_profile("fuzz", deadline=None)  # machines are shared: no test has a time to meet
hypothesis.settings.register_profile("shared", deadline=None, derandomize=True)  # `make fuzz` tries other examples
hypothesis.settings.load_profile("shared")

_COMPILED = CACHE / "compiled"
"""Daemons of the tests, hundreds of them, compile each eBPF program once."""
_COMPILED.mkdir(mode=0o700, parents=True, exist_ok=True)
os.environ.setdefault(VARIABLE, str(_COMPILED))
_TOOLS = (
    "nft",
    "ip",
    "nmap",
    "hping3",
    "ping",
    "curl",
    "conntrack",
    "setpriv",
    "unshare",
    "strace",
    "prometheus",
    "promtool",
)
_SYSTEM_TOOLS = (*_TOOLS, "mmdebstrap", "systemd-nspawn", "medusa", "sshpass")


def _missing(tools: Sequence[str]) -> str:
    """Say what this machine lacks for tests on the real kernel; empty when nothing."""
    if os.geteuid() != 0:
        return "needs root"
    return missing(tools)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case of bytes after its argument: they may hold a time, and workers must agree on names."""
    return argname if isinstance(val, bytes) else None


def pytest_collection_finish() -> None:
    """Keep ten thousand tests out of the garbage collector: its pauses are CPU time, which filters have limits of."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail tests on the real kernel, or in a booted machine, where they cannot run."""
    for marker, tools in (("kernel", _TOOLS), ("system", _SYSTEM_TOOLS)):
        if item.get_closest_marker(marker) and (reason := _missing(tools)):
            cannot_run(reason)
