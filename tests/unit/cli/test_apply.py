"""`nodewarden apply`: what it refuses by itself, and how a confirmed file gets into its place."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from monitor.cli.apply import ApplyError, apply
from monitor.control.client import RequestRefused
from monitor.control.protocol import Apply, ApplyBack, ApplyConfirm, ApplyStatus, TrialRequest
from monitor.daemon.tuning import comparing
from monitor.model.errors import ConfigError
from tests.support import recorded_site as site
from tests.unit.config.support import write

_TEXT = "detectors: {port_scan: {maxretry: 22}}\n"
_ENDED = {
    "name": "old.yaml", "target": "/etc/nodewarden/conf.d/old.yaml", "time_s": 1.0, "result": "time",
    "text": "nobody confirmed it in time",
}  # fmt: skip


class Daemon:
    """Stands where the daemon's socket would be."""

    def __init__(self, target: Path | None = None) -> None:
        """A trial waits that stands for a file; None: there is none."""
        self.asked: list[TrialRequest] = []
        self.refuses = False
        self.waiting: dict[str, Any] | None = None
        if target is not None:
            before = hashlib.sha256(target.read_bytes()).hexdigest() if target.exists() else None
            self.waiting = {
                "name": "try.yaml", "target": str(target), "content": _TEXT, "before": before, "left_s": 300.0,
                "is_target_changed": False,
            }  # fmt: skip

    def ask(self, request: TrialRequest) -> Any:
        """Answer a request."""
        self.asked.append(request)
        if isinstance(request, ApplyConfirm):
            if self.refuses or self.waiting is None:
                raise RequestRefused("no trial configuration waits to be confirmed")
            self.waiting = None
        done: dict[str, Any] = {"waiting": self.waiting, "ended": _ENDED}
        return done | ({"reload": {"waiting": [], "detectors": []}} if isinstance(request, Apply) else {})


def run(daemon: Daemon, *arguments: str | Path) -> Result:
    """Run the command; a confirmation names the main file of the trial that waits, unless it names another one."""
    if daemon.waiting and "--confirm" in arguments and "--config" not in arguments:
        arguments = (*arguments, "--config", Path(daemon.waiting["target"]).parent.parent / "nodewarden.yaml")
    return CliRunner().invoke(apply, [str(one) for one in arguments], obj=daemon)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a directory with a configuration and a file to try."""
    write(tmp_path, f"state: {{directory: {tmp_path}}}\n")
    write(tmp_path / "conf.d", "detectors: {port_scan: {maxretry: 11}}\n", "50-local.yaml")
    write(tmp_path, _TEXT, "try.yaml")
    return tmp_path


def test_a_file_is_sent_as_it_is(files: Path) -> None:
    """With the name that it would have in conf.d: its own, another one, or none for the main file."""
    daemon = Daemon()
    common = (files / "try.yaml", "--confirm-within", "10m", "--config", files / "nodewarden.yaml")
    for more, place in (((), "try.yaml"), (("--as", "90-x.yaml"), "90-x.yaml"), (("--whole",), "")):
        done = run(daemon, *common, *more)
        assert done.exit_code == 0, done.output
        assert daemon.asked.pop() == Apply(str(files / "try.yaml"), _TEXT, 600.0, place)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"detectors: {port_scan: {maxretry: x}}\n", "try.yaml:1:35: detectors.port_scan.maxretry"),
        (b"detectors: {failures: {web: {filter: nginx-aut}}}\n", "try.yaml:1:38"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (1 << 20) + b"#", "larger than"),
    ],
)
def test_a_faulty_file_is_not_sent(files: Path, text: bytes, fault: str) -> None:
    """The fault names the file that was given."""
    daemon = Daemon()
    (files / "try.yaml").write_bytes(text)
    done = run(daemon, files / "try.yaml", "--confirm-within", "10m", "--config", files / "nodewarden.yaml")
    assert isinstance(done.exception, ConfigError)
    assert fault in str(done.exception)
    assert "conf.d/try.yaml" not in str(done.exception)
    assert daemon.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("try.yaml",),
        ("try.yaml", "--confirm"),
        ("--confirm", "--whole"),
        ("--back", "--confirm-within", "10m"),
        ("--confirm", "--max-new-bans", "0"),
        ("try.yaml", "--confirm-within", "10m", "--days", "0", "--max-known-good", "0"),
        ("try.yaml", "--confirm-within", "10m", "--whole", "--as", "x.yaml"),
        ("try.yaml", "--confirm-within", "soon"),
        ("try.yaml", "--confirm-within", "5s"),
        ("try.yaml", "--confirm-within", "2d"),
    ],
)
def test_usage(arguments: tuple[str, ...]) -> None:
    """What does not go together is refused before anything is asked."""
    daemon = Daemon()
    assert run(daemon, *arguments).exit_code == 2
    assert daemon.asked == []


def test_confirming_writes_the_file(files: Path) -> None:
    """A new one, readable by the daemon; or over the one before, which stays next to it with the same rights."""
    new, old = files / "conf.d/60-new.yaml", files / "conf.d/50-local.yaml"
    assert run(Daemon(new), "--confirm").exit_code == 0
    assert (new.read_text(), new.stat().st_mode & 0o777) == (_TEXT, 0o644)
    old.chmod(0o640)
    before = old.read_text()
    daemon = Daemon(old)
    assert run(daemon, "--confirm").exit_code == 0
    assert daemon.asked == [ApplyStatus(), ApplyConfirm()]
    assert (old.read_text(), old.stat().st_mode & 0o777) == (_TEXT, 0o640)
    assert (files / "conf.d/50-local.yaml.before-apply").read_text() == before
    assert sorted(one.name for one in (files / "conf.d").iterdir()) == [
        "50-local.yaml",
        "50-local.yaml.before-apply",
        "60-new.yaml",
    ]


@pytest.mark.parametrize(
    "place", ["cron.yaml", "conf.d/../cron.yaml", "conf.d/.hidden.yaml", "conf.d/x", "a/conf.d/x.yaml"]
)
def test_the_daemon_does_not_say_where_root_writes(files: Path, place: str) -> None:
    """It runs as another user: whoever got into it must get no file of root's choice written."""
    daemon = Daemon(files / place)
    done = run(daemon, "--confirm", "--config", files / "nodewarden.yaml")
    assert isinstance(done.exception, ApplyError)
    assert "is no file of the configuration" in str(done.exception)
    assert daemon.asked == [ApplyStatus()]
    assert not (files / place).exists()


def test_what_somebody_wrote_meanwhile_is_not_overwritten(files: Path) -> None:
    """The daemon then compares what the files say with what is in force."""
    old = files / "conf.d/50-local.yaml"
    daemon = Daemon(old)
    daemon.refuses = True
    old.write_text("detectors: {port_scan: {maxretry: 12}}\n")
    done = run(daemon, "--confirm")
    assert isinstance(done.exception, ApplyError)
    assert "write both together into it" in str(done.exception)
    assert old.read_text() == "detectors: {port_scan: {maxretry: 12}}\n"
    assert "is not overwritten" in done.output


@pytest.mark.parametrize("name", ["50-local.yaml", "60-new.yaml"])
def test_a_refused_confirmation_leaves_the_files_as_they_were(files: Path, name: str) -> None:
    """Its time was over just now: what is not in force must not wait on disk."""
    place = files / "conf.d" / name
    before = place.read_text() if place.exists() else None
    daemon = Daemon(place)
    daemon.refuses = True
    assert isinstance(run(daemon, "--confirm").exception, RequestRefused)
    assert (place.read_text() if place.exists() else None) == before


def test_a_place_that_cannot_be_written() -> None:
    """It says so; the trial goes on, and the daemon is not asked to keep it."""
    daemon = Daemon(Path("/proc/conf.d/50-nobody-can-write-here.yaml"))
    done = run(daemon, "--confirm")
    assert isinstance(done.exception, ApplyError)
    assert "the trial configuration still waits" in str(done.exception)
    assert daemon.asked == [ApplyStatus()]


def test_what_is_shown(files: Path) -> None:
    """What waits and how it can end; or how the last one ended."""
    shown = run(Daemon(files / "x.yaml"), "--status").output
    assert "trial configuration try.yaml is in force for another 5m" in shown
    assert "nodewarden apply --confirm" in shown
    daemon = Daemon()
    assert "old.yaml ended" in run(daemon, "--status").output
    assert "old.yaml is no longer in force: the files in" in run(daemon, "--back").output
    assert daemon.asked == [ApplyStatus(), ApplyBack()]
    assert isinstance(run(daemon, "--confirm").exception, RequestRefused)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record a day once."""
    return site.record_day(tmp_path_factory.mktemp("site"))


@pytest.fixture
def strict(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str | Path, ...]:
    """Return the arguments for trying thresholds that ban a client and a probe of the recorded day."""
    monkeypatch.setattr(comparing, "find", lambda *_: SimpleNamespace(path=recording))
    old = site.write(tmp_path, "old", site.OLD)
    file = write(tmp_path, "detectors: {failures: {sshd: {maxretry: 2}}}\n", "try.yaml")
    return file, "--confirm-within", "10m", "--config", old, "--days", "1000"


def test_it_is_compared_with_the_history_first(strict: tuple[str | Path, ...]) -> None:
    """What it would have done is shown, and clients that it would have banned end the trial if it bans them."""
    daemon = Daemon()
    done = run(daemon, *strict)
    assert done.exit_code == 0, done.output
    assert done.output.count("known-good sources") == done.output.count("stronger bans, 2 hit known-good sources") == 1
    assert isinstance(daemon.asked[1], Apply)
    assert daemon.asked[1].known_good == [site.CLIENT]
    found = json.loads(run(daemon, *strict, "--json").stdout)
    assert (found["comparison"]["known_good"], found["comparison"]["kinds"]) == (2, {"added": 2})


def test_beyond_a_limit_it_is_not_tried(strict: tuple[str | Path, ...]) -> None:
    """The daemon is not asked, and the sentence names the limit."""
    daemon = Daemon()
    for limit, text in (("--max-known-good", "known-good sources"), ("--max-new-bans", "2 bans are added")):
        done = run(daemon, *strict, limit, "1")
        assert isinstance(done.exception, ApplyError)
        assert text in str(done.exception)
    assert daemon.asked == [ApplyStatus()] * 2
    assert run(daemon, *strict, "--max-new-bans", "2").exit_code == 0


@pytest.mark.parametrize("main", ["nodewarden.yaml", "missing.yaml"])
def test_a_limit_that_cannot_be_judged_is_not_taken_for_kept(files: Path, main: str) -> None:
    """Without a history, or without the configuration."""
    daemon = Daemon()
    common = (files / "try.yaml", "--confirm-within", "10m", "--config", files / main)
    done = run(daemon, *common, "--max-new-bans", "1000")
    assert isinstance(done.exception, ApplyError)
    assert "the limits are not known to hold" in str(done.exception)
    assert not any(isinstance(one, Apply) for one in daemon.asked)


def test_without_history_it_is_tried_all_the_same(files: Path) -> None:
    """That nothing could be compared is said."""
    daemon = Daemon()
    done = run(daemon, files / "try.yaml", "--confirm-within", "10m", "--config", files / "nodewarden.yaml")
    assert done.exit_code == 0
    assert "not compared with the history" in done.output
    assert [type(one) for one in daemon.asked] == [ApplyStatus, Apply]


def test_while_one_waits_no_time_is_spent_on_another(files: Path) -> None:
    """A comparison with a week takes a minute."""
    daemon = Daemon(files / "x.yaml")
    done = run(daemon, files / "try.yaml", "--confirm-within", "10m", "--config", files / "nodewarden.yaml")
    assert isinstance(done.exception, ApplyError)
    assert "trial configuration try.yaml waits: `nodewarden apply --confirm` keeps it" in str(done.exception)
    assert "comparing" not in done.output
