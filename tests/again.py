"""Runs tests again that failed while others ran beside them: `python -m tests.again CACHE…`.

The streams of `make test` share the machine, and continuous integration shares it with others. A test that fails there
and passes alone is unsteady: it is named at the end, for somebody to repair, and does not fail the build. One that
fails again does, and so do more than a few: then the fault is not the neighbours'.
"""

import json
import subprocess
import sys
from pathlib import Path

_MOST = 3


def failed(cache: Path) -> list[str]:
    """Return the tests that failed in a stream, from pytest's cache of it."""
    path = cache / "v/cache/lastfailed"
    return list(json.loads(path.read_text())) if path.exists() else []


def main(caches: list[str]) -> int:
    """Run them; return 0 if they are few and pass."""
    tests = [test for cache in caches for test in failed(Path(cache))]
    if not 0 < len(tests) <= _MOST:
        print(f"{len(tests)} tests failed: none is run again")
        return 1
    print("again, and alone:", *tests, sep="\n  ", flush=True)
    status = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests], check=False).returncode
    print("UNSTEADY, passed alone:" if status == 0 else "failed again:", *tests, sep="\n  ")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
