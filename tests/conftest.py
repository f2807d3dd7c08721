"""What a machine lacks is a reason to skip on a laptop and a failure in CI."""

import os
import shutil

import pytest

_TOOLS = ("nft", "ip", "nmap", "hping3", "ping", "curl", "conntrack", "setpriv", "unshare", "prometheus", "promtool")


def _missing_for_kernel() -> str:
    """Say what this machine lacks for tests on the real kernel; empty when nothing."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(missing)} (make setup installs them)" if missing else ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail kernel tests where they cannot run."""
    if item.get_closest_marker("kernel") and (reason := _missing_for_kernel()):
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot run in CI: {reason}")
        pytest.skip(reason)
