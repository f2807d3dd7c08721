"""Programs that a test cannot do without."""

import os
import shutil

import pytest


def needs(*tools: str) -> None:
    """Skip the test on a laptop and fail it in CI where a program is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        reason = f"needs {', '.join(missing)} (make setup installs them)"
        if os.environ.get("CI") == "true":
            pytest.fail(f"cannot run in CI: {reason}")
        pytest.skip(reason)
