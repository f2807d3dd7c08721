"""`nodewarden replay`: what operators see of it, and that it touches nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.entry import main
from monitor.cli.main import cli
from monitor.cli.recorded_history import recording_directory
from monitor.cli.replay import _KINDS
from monitor.daemon.replay.foreign.kinds import Kind
from monitor.daemon.replay.foreign.reading import ForeignFiles
from monitor.model.errors import ConfigError, NodewardenError
from monitor.recording.exchange import export, store
from monitor.recording.inputs import Gap
from monitor.recording.segments import Header
from monitor.settings.schema import Settings
from tests.support.captures import CLIENT, SERVER, START_S, ethernet, pcap, syn_scan, tcp
from tests.unit.cli.test_escapes import HOSTILE, is_safe

_LINE = "Nov 20 10:00:{:02} host sshd[77]: Failed password for root from 198.51.100.9 port 4242 ssh2\n"
_WRITTEN_S = 1_795_200_000.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return a configuration."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text("detectors: {port_scan: {maxretry: 20}}\n")
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Return a capture of a scan."""
    path = tmp_path / "scan.pcap"
    path.write_bytes(pcap(syn_scan(60)))
    return path


def _replay(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)], catch_exceptions=True)


def _log(tmp_path: Path, count: int = 8) -> Path:
    path = tmp_path / "auth.log"
    path.write_text("".join(map(_LINE.format, range(count))))
    os.utime(path, (_WRITTEN_S, _WRITTEN_S))
    return path


def test_the_kinds_of_files_are_those_that_are_read() -> None:
    """Of `--type`; the list is written twice, so that no library is loaded for the help."""
    assert tuple(kind.value for kind in Kind) == _KINDS


def test_a_table_of_bans_and_what_became_of_alerts(config: Path, capture: Path) -> None:
    """When, whom, how strong, how long, why; who was taken for the node; and who could not find anything."""
    output = _replay(capture, "--config", config).output
    (ban,) = [line for line in output.splitlines() if CLIENT in line]
    assert ban.split()[3:7] == ["shun", "port_scan", "spoofable", "1h"]
    assert ban.endswith("20 distinct ports")
    assert f"taken for the node: {SERVER}" in output
    assert "cannot find anything here: drop_rate, stealth_scan, closed_port_scan: the history has no" in output


def test_the_configuration_decides(tmp_path: Path, capture: Path) -> None:
    """A higher threshold bans nobody."""
    path = tmp_path / "other.yaml"
    path.write_text("detectors: {port_scan: {maxretry: 61}}\n")
    assert "nobody would have been banned" in _replay(capture, "--config", path).output


def test_the_network_of_the_node_itself_is_never_banned(config: Path, capture: Path) -> None:
    """An operator who names the scanner as the node sees its scan as one of the node's own."""
    output = _replay(capture, "--config", config, "--node", CLIENT).output
    assert "nobody would have been banned" in output
    assert "taken for the node" not in output


def test_json_lines_end_with_a_summary(config: Path, tmp_path: Path) -> None:
    """Each outcome as it comes."""
    lines = [json.loads(line) for line in _replay(_log(tmp_path), "--config", config, "--json").output.splitlines()]
    assert [one["verdict"] for one in lines if one["kind"] == "decision"] == ["ban"]
    assert lines[-1]["kind"] == "summary"
    assert lines[-1]["files"][0]["records"] == 8
    assert lines[-1]["detectors"] == {"sshd": {"alert": 1, "ban": 1}}


def test_only_a_part_of_the_time_and_only_one_detector(config: Path, tmp_path: Path) -> None:
    """What is outside counts nowhere."""
    log = _log(tmp_path)
    assert "nobody" in _replay(log, "--config", config, "--since", "2026-11-20T10:00:05").output
    assert "nobody" in _replay(log, "--config", config, "--until", "2026-11-20T10:00:04").output
    assert "nobody" in _replay(log, "--config", config, "--detector", "port_scan").output
    assert "198.51.100.9" in _replay(log, "--config", config, "--detector", "sshd").output


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (pcap([(0.0, bytes(12) + b"\x08\x06" + bytes(28))]), 1, "of which 1 no IP packets (ARP, STP and the like)"),
        (b"", 1, "it is empty"),
        (b"\x7fELF" + bytes(99), 1, "it is binary, and of no known kind"),
        (b"one line\n", 1, "nothing in it is evidence: read as log, 1 records"),
    ],
    ids=["ARP", "empty", "binary", "no evidence"],
)
def test_nothing_usable_is_an_error_with_what_was_there(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    code: int,
    said: str,
) -> None:
    """One sentence, no traceback."""
    path = tmp_path / "some"
    path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["nodewarden", "replay", str(path), "--config", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["FILE", "--config", "missing.yaml"],
        ["FILE", "--type", "novel"],
        ["FILE", "--node", "nobody"],
        ["FILE", "--filter", "nobody", "--type", "log"],
    ],
    ids=str,
)
def test_usage_and_configuration_are_exit_code_2(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """As elsewhere."""
    words = [str(_log(tmp_path)) if word == "FILE" else word for word in arguments]
    more = [] if "--config" in words else ["--config", str(config)]
    monkeypatch.setattr("sys.argv", ["nodewarden", "replay", *words, *more])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2


def test_what_attackers_wrote_is_escaped(config: Path, tmp_path: Path) -> None:
    """In the names of files and in what a file holds."""
    path = tmp_path / HOSTILE.replace("\0", "").replace("\n", " ").replace("\udcff", "")
    path.write_text("".join(map(_LINE.replace("root", "\x1b[2Jroot").format, range(8))))
    os.utime(path, (_WRITTEN_S, _WRITTEN_S))
    for more in ((), ("--json",)):
        output = _replay(path, "--config", config, *more).output
        assert "198.51.100.9" in output
        assert is_safe(output)


def _recorded(path: Path, capture: Path) -> Path:
    """Record what is in a capture, with a gap."""
    inputs = list(ForeignFiles([capture], Settings()).inputs())
    gap = Gap(inputs[-1].time_s, "queue", 7, "full")
    with path.open("wb") as file:
        export([*inputs, gap], file, Header("some-node", "0.1.0", START_S))
    return path


def test_a_recording_is_replayed_by_its_file_or_its_name(tmp_path: Path, capture: Path) -> None:
    """As recorded, or with another configuration; gaps are named, and so is a name that nothing has."""
    recording = _recorded(tmp_path / "some.recording", capture)
    output = _replay(recording).output
    (ban,) = [line for line in output.splitlines() if CLIENT in line]
    assert ban.endswith("15 distinct ports")
    assert "recorded by version 0.1.0" in output
    assert "queue: 7 missing: full" in output
    config = tmp_path / "nodewarden.yaml"
    config.write_text(f"detectors: {{port_scan: {{maxretry: 20}}}}\nstate: {{directory: {tmp_path}/state}}\n")
    assert "20 distinct ports" in _replay(recording, "--config", config).output
    (tmp_path / "state").mkdir()
    store(recording, recording_directory(config), "week")
    assert "20 distinct ports" in _replay("week", "--config", config).output
    missing = _replay("month", "--config", config)
    assert "neither a file nor the name of an imported recording" in str(missing.exception)
    assert _replay(recording, capture).exit_code == 2
    assert _replay(recording, "--type", "log").exit_code == 2


def test_a_time_without_events_is_an_error_with_the_time_that_there_is(tmp_path: Path, capture: Path) -> None:
    """Nobody must take it for a quiet day; no configuration is needed to read a file."""
    recording = _recorded(tmp_path / "some.recording", capture)
    failed = _replay(recording, "--since", "2037-01-01")
    assert isinstance(failed.exception, NodewardenError)
    assert "nothing was recorded in that time; it covers 20" in str(failed.exception)
    assert "nobody" not in failed.output
    target = tmp_path / "part.recording"
    arguments = ["record", "export", str(target), "--recording", str(recording), "--since", "2037-01-01"]
    assert "nothing was written" in str(CliRunner().invoke(cli, arguments).exception)
    assert not target.exists()
    directory = tmp_path / "ring"
    directory.mkdir()
    (directory / "000000000001.segment").write_bytes(recording.read_bytes())
    missing = ["--config", str(tmp_path / "missing.yaml")]
    for command in (["record", "info", str(directory)], ["record", "export", "-", "--recording", str(directory)]):
        assert CliRunner().invoke(cli, [*command, *missing]).exit_code == 0


def test_a_detector_that_there_is_not_is_usage(config: Path, capture: Path) -> None:
    """It would show nothing, as if nobody had done anything."""
    failed = _replay(capture, "--config", config, "--detector", "portscan")
    assert isinstance(failed.exception, ConfigError)
    assert "there is no detector 'portscan'; there are closed_port_scan" in str(failed.exception)
    assert _replay(capture, "--config", config, "--detector", "recidive").exit_code == 0


_ACCESS = '198.51.100.9 - - [20/Nov/2026:10:00:{:02} +0000] "GET /.env HTTP/1.1" 404 153 "-" "curl/7"\n'


def test_a_log_that_no_detector_reads_is_read_by_a_built_in_filter(config: Path, tmp_path: Path) -> None:
    """Without one, those that fit are named; filters of other applications and for every log are not."""
    path = tmp_path / "access.log"
    path.write_text("".join(map(_ACCESS.format, range(9))))
    (hint,) = [line for line in _replay(path, "--config", config).output.splitlines() if "built-in" in line]
    assert "nginx-scan" in hint
    assert "vaultwarden" not in hint
    assert "9 of them events" in _replay(path, "--config", config, "--filter", "nginx-scan").output
    failed = _replay(path, "--config", config, "--filter", "nginx")
    assert "nodewarden filter list" in str(failed.exception)


def test_a_recording_that_is_cut_off_or_damaged(tmp_path: Path, capture: Path) -> None:
    """What is whole counts; nothing whole is a sentence."""
    recording = _recorded(tmp_path / "some.recording", capture)
    whole = recording.read_bytes()
    recording.write_bytes(whole[:200])
    assert isinstance(_replay(recording).exception, NodewardenError | SystemExit | None)
    recording.write_bytes(whole[:30])
    assert isinstance(_replay(recording).exception, NodewardenError)


_WATCHED = """
import os, sys
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn")):
        print("TOUCHED", event, arguments, file=sys.stderr)
sys.argv = ["nodewarden", "replay", *sys.argv[1:]]
from monitor.cli.entry import main
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.addaudithook(watch)
main()
"""


def test_neither_the_kernel_nor_a_daemon_is_touched(config: Path, tmp_path: Path, capture: Path) -> None:
    """An ordinary user replays every kind of file; no socket is opened, no program started."""
    for path in (config, capture, _log(tmp_path)):
        path.chmod(0o644)
    for directory in (tmp_path, *list(tmp_path.parents)[:3]):
        if directory.owner() == tmp_path.owner() and directory != Path("/tmp"):
            directory.chmod(0o755)
    command = [sys.executable, "-c", _WATCHED, str(capture), str(_log(tmp_path)), "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert CLIENT in done.stdout
    assert "198.51.100.9" in done.stdout
    assert done.stderr == ""


def test_standard_input_is_read(config: Path) -> None:
    """`zcat … | nodewarden replay -`."""
    command = [sys.executable, "-m", "monitor.cli.main", "replay", "-", "--config", str(config)]
    command[1:3] = ["-c", "from monitor.cli.entry import main; main()"]
    data = pcap([(0.01 * n, ethernet(tcp(CLIENT, SERVER, (50_000, 1000 + n), 2))) for n in range(30)])
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert CLIENT in done.stdout.decode(), done.stderr
