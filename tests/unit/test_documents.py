"""The documents hold together: links lead somewhere, and the index of decisions is complete."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs/decisions"
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "bench/*.md")
    for path in ROOT.glob(pattern)
)
_MOST_LINES = 150


def links(text: str) -> Iterator[str]:
    """Yield the targets of links and pictures, those in code left out."""
    prose = re.sub(r"^```.*?^```|^ {4}.*?$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    """Every relative link of a document names a file that exists, and a heading in it."""
    path = ROOT / document
    broken = []
    for target in links(path.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = path.parent / name if name else path
        if not other.exists() or (anchor and anchor not in anchors(other.read_text())):
            broken.append(target)
    assert not broken


def test_the_index_lists_every_decision_and_no_other() -> None:
    """docs/decisions/README.md has one line for each file, with its number and its title."""
    listed = re.findall(r"^- \[(\d{4})\]\((\S+)\) (.+)$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    files = sorted(path.name for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [name for _, name, _ in listed] == files
    for number, name, title in listed:
        assert name.startswith(f"{number}-")
        assert (DECISIONS / name).read_text().startswith(f"# {number}. {title}\n")


def test_numbers_of_decisions_are_consecutive() -> None:
    """No number of a decision is left out or used twice."""
    numbers = sorted(int(path.name[:4]) for path in DECISIONS.glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", sorted(DECISIONS.glob("[0-9]*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_parts(path: Path) -> None:
    """Every decision says its context, what was decided, and what follows."""
    headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences"]


def test_the_architecture_stays_short() -> None:
    """docs/architecture.md is read in one sitting; details belong into decisions."""
    assert len((ROOT / "docs/architecture.md").read_text().splitlines()) <= _MOST_LINES
