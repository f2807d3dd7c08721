"""`make sanitize`: compare native code with Python under AddressSanitizer and UndefinedBehaviorSanitizer.

Runs the files of unit tests that import the extension. With `--fuzz SECONDS`, explores each target of
bench/fuzz_guided.py for this long instead. Both work on a copy of the checkout, so that the extension in it stays as it
is. Exit code 1 if anything is found.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.newcomer.site import check_out

_IMPORTS = re.compile(r"^from (?:monitor import .*\bnative\b|tests\.support\.native import)", re.MULTILINE)


def main() -> int:
    """Build a copy with sanitizers and run there."""
    parser = argparse.ArgumentParser(prog="make sanitize", description=__doc__)
    parser.add_argument("--fuzz", type=float, metavar="SECONDS", help="explore, for this long each")
    parser.add_argument("--seed", type=int, help="of the random numbers of --fuzz")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nodewarden-sanitized-") as place:
        checkout = Path(place)
        check_out(checkout)
        subprocess.run(
            [sys.executable, "-m", "native.build", "--sanitize", "--coverage", "monitor"],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": place},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        command = _tests(checkout) if options.fuzz is None else _fuzzer(options.fuzz, options.seed)
        return subprocess.run([sys.executable, *command], cwd=checkout, env=_environment(place)).returncode


def _tests(checkout: Path) -> list[str]:
    files = sorted(
        str(path.relative_to(checkout))
        for path in checkout.glob("tests/unit/**/test_*.py")
        if _IMPORTS.search(path.read_text(encoding="utf-8"))
    )
    # With the default capture a report would be lost with the process.
    return ["-m", "pytest", "-q", "--no-header", "--capture=sys", "-p", "no:cacheprovider", *files]


def _fuzzer(seconds: float, seed: int | None) -> list[str]:
    return ["-m", "bench.fuzz_guided", f"--seconds={seconds}", *([] if seed is None else [f"--seed={seed}"])]


def _environment(place: str) -> dict[str, str]:
    """Return an environment in which Python loads the runtime of the sanitizers first and allocates with malloc."""
    runtime = [
        subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return os.environ | {
        "PYTHONPATH": place,
        "LD_PRELOAD": " ".join(runtime),
        "PYTHONMALLOC": "malloc",  # each object is an allocation of its own: reading past one is found
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # the interpreter keeps its own until the end
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


if __name__ == "__main__":
    sys.exit(main())
