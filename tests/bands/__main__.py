"""`make bands`: measures the rules over synthetic weeks, prints the table and keeps it in docs/dashboards.md."""

import tempfile
from pathlib import Path

from tests.bands import table
from tests.bands.measure import measure
from tests.bands.weeks import attacked_nodes, quiet_nodes

_WEEKS = 3


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as directory:
        figures = measure([*quiet_nodes(_WEEKS), *attacked_nodes(_WEEKS)], Path(directory))
    text = table.text_of(figures)
    table.keep(text)
    print(text)


if __name__ == "__main__":
    main()
