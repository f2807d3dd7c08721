"""What documents show is what commands print."""

import re
from pathlib import Path

import pytest

from demo.transcript import DOCUMENTS, renewed
from tests.support.needs import needs

_REFRESH = "run `python -m demo.transcript --write`"


def without_numbers(line: str) -> str:
    """Replace numbers, times and durations, which differ from run to run."""
    return re.sub(r"(?:#[a-z]{0,2} ?)+", "# ", re.sub(r"\d[\d.:-]*", "#", line))


@pytest.mark.kernel
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_answer_as_documents_say(document: Path) -> None:
    """Every command that a document shows succeeds, and its first line is the documented one but for numbers."""
    needs("nmap", "nft")
    _, outputs = renewed(document.read_text())
    assert outputs
    assert [output.command for output in outputs if output.code] == []
    for output in outputs:
        printed, documented = (text.partition("\n")[0] for text in (output.printed, output.documented))
        assert without_numbers(printed) == without_numbers(documented), f"{output.command}: {_REFRESH}"
