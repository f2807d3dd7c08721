"""`make boards-cost`: measures what the dashboards cost with 500 nodes, and keeps the table in docs/dashboards.md."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fleet.cost import Cost, measure

PAGE = Path(__file__).parents[2] / "docs/dashboards.md"
_BEGIN, _END = "<!-- made by make boards-cost -->", "<!-- end of what make boards-cost makes -->"


def main() -> None:
    """Measure and write."""
    with tempfile.TemporaryDirectory() as directory:
        text = text_of(measure(Path(directory)))
    page = PAGE.read_text()
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    PAGE.write_text(f"{before}{text}{after}")
    print(text)


def text_of(costs: Sequence[Cost]) -> str:
    """Return the table in Markdown."""
    rows = [
        f"| {one.board} | {one.queries} | {one.opened_s:.2f} | {one.costliest_s:.2f} | {one.unfolded_s:.2f} |"
        for one in costs
    ]
    head = "| board | queries | CPU s | costliest query, CPU s | with folded rows open, CPU s |"
    return "\n".join((_BEGIN, "", head, "| --- | --- | --- | --- | --- |", *rows, "", _END))


if __name__ == "__main__":
    main()
