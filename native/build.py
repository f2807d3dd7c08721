"""Builds the native extension of nodewarden: `python -m native.build [--sanitize] [--coverage] DIRECTORY`.

CFLAGS, CPPFLAGS and LDFLAGS of the environment come after its own flags, as packagers expect. The result depends on the
sources, the flags and the compiler only, not on where the checkout is.
"""

import argparse
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCES = Path(__file__).parent
NAME = f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
"""The file name that this interpreter looks for."""
_FLAGS = (
    *("-std=c11", "-fPIC", "-shared", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Wshadow", "-Wno-unused-parameter"),
)
_RELEASE = ("-O3", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")
_SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_COVERAGE = ("-fsanitize-coverage=trace-pc",)


class BuildError(Exception):
    """The extension cannot be built here; the text says why."""


def build(directory: Path, *, is_sanitized: bool = False, has_coverage: bool = False) -> Path:
    """Compile into a directory and return the file; BuildError without a compiler or Python's headers."""
    target = directory.absolute() / NAME
    fresh = target.with_name(f".{NAME}.new")
    sources = sorted(path.name for path in SOURCES.glob("*.c"))
    command = [
        *_compiler(),
        *(_FLAGS + (_SANITIZE if is_sanitized else _RELEASE) + (_COVERAGE if has_coverage else ())),
        f"-I{sysconfig.get_path('include')}",
        *_given("CPPFLAGS", "CFLAGS", "LDFLAGS"),
        *(sources + ["fuzz/coverage.c"] * has_coverage),
        *("-o", str(fresh)),
    ]
    try:
        done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"no C compiler: {error.strerror}: {error.filename}") from error
    if done.returncode:
        raise BuildError(done.stderr.strip()[-2000:])
    fresh.replace(target)
    return target


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[:1]


def _given(*names: str) -> list[str]:
    """Return the flags in these variables of the environment."""
    return [flag for name in names for flag in shlex.split(os.environ.get(name, ""))]


def main() -> None:
    """Build and print where the file is."""
    parser = argparse.ArgumentParser(prog="python -m native.build", description=__doc__)
    parser.add_argument("--sanitize", action="store_true", help="with AddressSanitizer and UndefinedBehaviorSanitizer")
    parser.add_argument("--coverage", action="store_true", help="report which code runs, for fuzzers")
    parser.add_argument("directory", type=Path)
    given = parser.parse_args()
    try:
        built = build(given.directory, is_sanitized=given.sanitize, has_coverage=given.coverage)
    except BuildError as error:
        sys.exit(f"the native extension was not built: {error}")
    sys.stdout.write(f"{built}\n")


if __name__ == "__main__":
    main()
