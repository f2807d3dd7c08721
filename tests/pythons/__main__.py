"""`make test-pythons`: run tests/unit on the Python of Debian 13 (3.13) and of forky (3.14), in their roots.

Nothing is written to the checkout, and the roots have no network: the packages of the lock are fetched beforehand, for
the other Python. Exit code 1 if a test fails. More arguments are for pytest.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.root_image import CACHE, RootImage, python_version
from tests.support.wheels import for_python, key

ROOT = Path(__file__).parents[2]
SUITES = ("trixie", "forky")
_LOCK = ROOT / "requirements.lock"
_INSIDE = "/work"
_SCRIPT = '/usr/bin/python3 -m native.build monitor >/dev/null && exec /usr/bin/python3 "$@"'
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--numprocesses", "auto")


def main() -> int:
    """Run the tests on each release."""
    parser = argparse.ArgumentParser(prog="make test-pythons", description=__doc__)
    parser.add_argument("--suite", action="append", choices=SUITES, help="only on this release of Debian")
    options, rest = parser.parse_known_args()
    if os.geteuid() != 0:
        print("roots of other releases are entered with systemd-nspawn: run it as root", file=sys.stderr)
        return 1
    failed = [suite for suite in options.suite or SUITES if not _run(suite, rest or ["tests/unit"])]
    for suite in failed:
        print(f"tests failed on {suite}", file=sys.stderr)
    return 1 if failed else 0


def _run(suite: str, arguments: list[str]) -> bool:
    root = RootImage(suite=suite).path()
    version = python_version(root)
    print(f"Python {version} of {suite}:", flush=True)
    # What is written to the checkout, as the native extension for this Python, goes elsewhere.
    binds = [f"--overlay={ROOT}::{_INSIDE}", f"--bind-ro={_libraries(version)}:/libraries"]
    environment = {"PYTHONPATH": f"/libraries:{_INSIDE}", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"HOME": "/tmp", "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis"}
    done = subprocess.run(
        ["systemd-nspawn", "--quiet", f"--directory={root}", "--volatile=overlay", "--private-network"]
        + ["--register=no", "--keep-unit", "--pipe", f"--chdir={_INSIDE}", *binds]
        + [f"--setenv={name}={value}" for name, value in environment.items()]
        # nspawn sets NOTIFY_SOCKET, as if the tests were a service
        + ["/usr/bin/env", "--unset=NOTIFY_SOCKET", "sh", "-c", _SCRIPT, "sh", *_PYTEST, *arguments],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _libraries(version: str) -> Path:
    """Return a directory with the packages of the lock for a version of Python, made now if the cache lacks it."""
    directory = CACHE / f"libraries-{version}-{key(_LOCK.read_text())}"
    if not directory.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(dir=CACHE, prefix="libraries-"))
        install = [sys.executable, "-m", "pip", "install", "--quiet", *for_python(version)]
        subprocess.run([*install, "--target", begun, "--requirement", _LOCK], check=True)
        begun.chmod(0o755)
        try:
            begun.rename(directory)
        except OSError:  # another process was faster
            shutil.rmtree(begun)
    return directory


if __name__ == "__main__":
    sys.exit(main())
