"""Missing programs: a reason to skip a test on a laptop, a failure in CI."""

import os
import shutil
from collections.abc import Sequence
from typing import NoReturn

import pytest


def cannot_run(reason: str) -> NoReturn:
    """Skip the test with this reason; in CI, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"cannot run in CI: {reason}")
    pytest.skip(reason)


def missing(tools: Sequence[str]) -> str:
    """Return which of these programs are missing, as text; empty if none is."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    return f"needs {', '.join(absent)} (make setup installs them)" if absent else ""


def needs(*tools: str) -> None:
    """Do not run the test if one of these programs is missing."""
    if reason := missing(tools):
        cannot_run(reason)
