"""`nodewarden list` says why it is empty."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from monitor.cli.bans import list_bans
from monitor.cli.target import Target
from monitor.control.protocol import Status


class _Daemon(Target):
    """Has no bans in force, and two that are only observed."""

    def ask(self, request: object) -> dict[str, object]:
        if isinstance(request, Status):
            return {"detectors": [{"name": "sshd"}, {"name": "port_scan"}], "bans": {"observed": 2}}
        return {"bans": [], "cursor": ""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no bans; 2 are only observed: nodewarden list --observed"),
        (["--observed"], "no bans"),
        (["--detector", "sshd", "--observed"], "no bans"),
        (["--detector", "import", "--observed"], "no bans"),
        (["--detector", "ssh"], "no bans: there is no detector ssh; did you mean sshd?"),
        (["--detector", "x\x1b"], "no bans: there is no detector x\\x1b"),
        (["--json"], "[]"),
    ],
)
def test_an_empty_list_is_explained(words: list[str], said: str) -> None:
    """A misspelt detector is named, and so are bans that are only observed."""
    done = CliRunner().invoke(list_bans, words, obj=_Daemon(Path("/nowhere")))
    assert (done.exit_code, "".join(done.output.split("\n"))) == (0, said)
