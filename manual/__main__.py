"""`python -m manual DIRECTORY` writes the manual pages there."""

import sys
from pathlib import Path

from manual.pages import PAGES


def main(directory: Path) -> None:
    """Write all pages."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (directory / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m manual DIRECTORY")
    main(Path(sys.argv[1]))
