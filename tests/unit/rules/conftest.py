"""Rules are tested by promtool: without it these tests skip on a laptop and fail in CI."""

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail where there is no promtool."""
    if shutil.which("promtool") is None:
        reason = "needs promtool (make setup installs Debian's package prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot run in CI: {reason}")
        pytest.skip(reason)
