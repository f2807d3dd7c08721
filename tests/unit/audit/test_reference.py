"""The reference of the checks is that of the checks."""

from pathlib import Path

from monitor.audit.reference import reference
from monitor.audit.registry import ALL

_DOCS = Path(__file__).parents[3] / "docs"


def test_the_committed_reference_is_what_the_checks_say() -> None:
    """`make docs` writes it."""
    assert (_DOCS / "audit-checks.md").read_text() == reference()


def test_every_check_says_why_and_what_to_do() -> None:
    """An operator gets a reason and a remedy for each, and ids are words for files and labels."""
    for check in ALL:
        assert all((check.title, check.reason, check.remedy)), check.id
        assert check.id == check.id.lower().replace("_", "-")
        assert check.needs, check.id
