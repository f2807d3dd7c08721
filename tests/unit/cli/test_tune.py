"""`nodewarden tune`: from a recording to proposed values in conf.d."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import cli
from monitor.cli.tune_chart import terminal_chart
from monitor.daemon.tuning.label_file import LabelFile
from monitor.daemon.tuning.labels import Label, Opinion
from monitor.model.addresses import host
from monitor.model.bans import Mode
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.fortnight import Fortnight, fortnight
from tests.support.tuning_history import inputs, record

_DAYS = 4
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def labelled() -> Fortnight:
    """Return a few days of a small node."""
    return fortnight(days=_DAYS, clients=80, monitors=2, offenders=8, attempts=200)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, labelled: Fortnight) -> Path:
    """Return a state directory with the recording of these days, the probes labelled good."""
    directory = tmp_path_factory.mktemp("state")
    (directory / "recording").mkdir()
    record(directory / "recording", inputs(labelled, Settings(mode=Mode.OBSERVE), _DAYS))
    LabelFile(directory).put([Label(host(one), Opinion.GOOD, "monitoring", 0.0) for one in labelled.monitors])
    return directory


@pytest.fixture
def main(tmp_path: Path, state: Path) -> Path:
    """Return a configuration with this state directory."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text(f"state: {{directory: {state}}}\n")
    return path


@pytest.fixture
def run(main: Path) -> Run:
    """Return what runs the command, over all of the recording."""

    def tune(detector: str, *more: object) -> Result:
        arguments = ["tune", detector, "--config", str(main), "--since", "2026-01-01", *map(str, more)]
        return CliRunner().invoke(cli, arguments)

    return tune


def _json(result: Result) -> dict[str, Any]:
    assert not result.exception, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_proposal_spares_the_known_good_and_finds_the_offenders(run: Run) -> None:
    """Clients are known by their connections, probes by their label; today's values hit some of them."""
    found = _json(run("sshd", "--json"))
    assert found["today"]["known_good_hit"] > 0
    assert {one["reason"] for one in found["known_good_hit"]} <= {"client", "good"}
    assert found["proposal"]["known_good_hit"] == 0
    assert found["proposal"]["offenders"] >= 8
    assert found["confidence"] in ("medium", "high")
    assert found["today"] in found["points"]
    assert found["proposal"] in found["points"]


def test_written_values_are_in_force_and_then_the_proposal_is_today(run: Run, main: Path) -> None:
    """--write puts them into a file of their own; tuning again finds nothing better."""
    proposal = _json(run("sshd", "--json"))["proposal"]
    written = run("sshd", "--write")
    assert written.exit_code == 0
    assert "next: nodewarden reload" in written.stdout
    section = load(main).settings.detectors.failures["sshd"]
    assert (section.findtime_s, section.maxretry) == (proposal["findtime_s"], proposal["threshold"])
    again = run("sshd", "--write")
    assert "today's values are the proposal" in again.stdout
    assert "nothing to write" in again.stdout


def test_a_fragment_is_a_file_of_the_configuration(run: Run, main: Path, tmp_path: Path) -> None:
    """What --fragment writes can be tried; the configuration in force is not touched."""
    found = _json(run("sshd", "--json", "--fragment", tmp_path / "trial.yaml"))
    assert (tmp_path / "trial.yaml").read_text().endswith(found["yaml"])
    assert load(tmp_path / "trial.yaml").settings.detectors.failures["sshd"].maxretry == found["proposal"]["threshold"]
    assert not (main.parent / "conf.d").exists()


def test_without_a_terminal_there_is_a_plain_table_of_the_best_points(run: Run) -> None:
    """One line a point that no other one beats, today and the proposal marked, no control characters."""
    lines = run("sshd").stdout.splitlines()
    header = next(place for place, line in enumerate(lines) if line.startswith("FINDTIME"))
    rows = [row.split() for row in lines[header + 1 : lines.index("", header) - 1]]
    points = _json(run("sshd", "--json"))["points"]
    assert {row[4] for row in rows if len(row) > 4} == {"today", "proposal"}
    for row in rows:
        found, hit = int(row[2]), int(row[3])
        if len(row) == 4:
            assert not any(one["offenders"] >= found and one["known_good_hit"] < hit for one in points)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_chart_fits_the_terminal_and_80_columns(run: Run, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's point and the proposal are marked; without colours no control character is left."""
    drawn: list[str] = []

    def keep(*arguments: Any, **options: Any) -> str:
        both = (False, True)
        drawn.extend(terminal_chart(*arguments, **options | {"has_colours": one}) for one in both)
        return drawn[0]

    monkeypatch.setattr("monitor.cli.tune_report._is_chart_wanted", lambda: True)
    monkeypatch.setattr("monitor.cli.tune_report.terminal_chart", keep)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run("sshd").exit_code == 0
    plain, coloured = drawn
    assert max(map(len, plain.splitlines())) <= min(columns, 80)
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    *_, title, today, proposal = plain.splitlines()
    assert title == "↑ offenders found"  # below the chart: the best points lie where plotext puts its key
    assert "T today: maxretry 5 within 10m".startswith(today)
    assert proposal.startswith("P proposal: maxretry")


def test_the_drawing_is_xml_with_title_axes_and_both_marks(run: Run, tmp_path: Path) -> None:
    """An SVG that a browser shows: every point, today's and the proposed one, what the axes count."""
    drawing = tmp_path / "sshd.svg"
    points = _json(run("sshd", "--json", "--svg", drawing))["points"]
    root = ElementTree.fromstring(drawing.read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = ["".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text")]
    for text in ("known-good sources hit (logarithmic)", "offenders found", "today: maxretry 5 within 10m"):
        assert text in texts
    assert any(text.startswith("proposal: maxretry") for text in texts)
    circles = [one for one in root.iter() if one.tag.endswith("}circle")]
    assert len(circles) == len({(one["known_good_hit"], one["offenders"]) for one in points}) + 2


def test_a_drawing_that_would_be_no_picture_of_its_name_is_refused(run: Run, tmp_path: Path) -> None:
    """SVG in a file named PNG opens nowhere."""
    assert run("sshd", "--svg", tmp_path / "sshd.PNG").exit_code == 2
    assert not list(tmp_path.glob("*.PNG"))


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        ("shd", "there is no detector 'shd'; did you mean sshd?"),
        ("wholly-else", "there is no detector 'wholly-else'; there are "),
        ("protected_port", "protected_port has no threshold to tune: one event is enough"),
        ("egress", "egress is switched off in this configuration"),
        ("port_scan", "port_scan cannot be tuned by this recording: "),
        (
            "drop_rate",
            "drop_rate cannot be tuned by this recording: the history has no packets that the kernel dropped",
        ),
    ],
)
def test_what_cannot_be_tuned_is_said(run: Run, detector: str, message: str) -> None:
    """An unknown detector, one without threshold, one that the recording does not feed: never an empty table."""
    result = run(detector)
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_too_little_history_yields_no_proposal_and_writes_nothing(run: Run, main: Path) -> None:
    """The last hours do not tell what a week does."""
    result = run("sshd", "--since", "2026-09-25T12:00", "--write")
    assert result.exit_code == 0, result.output
    assert "no proposal" in result.stdout
    assert "too little history" in result.stdout
    assert not (main.parent / "conf.d").exists()


def test_no_recording_is_said(tmp_path: Path) -> None:
    """A node that recorded nothing has nothing to tune by."""
    main = tmp_path / "nodewarden.yaml"
    main.write_text(f"state: {{directory: {tmp_path}}}\n")
    result = CliRunner().invoke(cli, ["tune", "sshd", "--config", str(main)])
    assert "no recording is there" in str(result.exception)


def test_a_recording_of_another_node_is_judged_by_its_own_configuration(state: Path) -> None:
    """Where no configuration is here, today's values are those that were recorded."""
    found = _json(CliRunner().invoke(cli, ["tune", "sshd", "--recording", str(state / "recording"), "--json"]))
    assert found["today"]["values"] == {"maxretry": 5, "findtime": "10m"}
