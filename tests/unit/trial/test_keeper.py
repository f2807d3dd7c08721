"""Trial configurations over files: nothing is lost, whatever the order of confirming, time, crashes and edits."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.control.protocol import Apply, ApplyBack, ApplyConfirm, ApplyStatus
from monitor.daemon.trial import file as trial_file
from monitor.daemon.trial import keeper as keeper_module
from monitor.daemon.trial import orders as orders_module
from monitor.daemon.trial.file import FILE_NAME
from monitor.daemon.trial.keeper import TrialKeeper
from monitor.daemon.trial.orders import TrialOrders
from monitor.daemon.trial.record import REBOOT_S, Instant, Result, TrialRefused
from monitor.daemon.trial.resume import resume
from monitor.model.errors import ConfigError, NodewardenError, TemporaryError
from monitor.settings.load import Loaded, load
from tests.unit.config.support import write


class Node:
    """A directory with a configuration, a daemon that follows it, and clocks."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start it with `maxretry` 11 in a file of conf.d."""
        self.now = Instant(1_800_000_000.0, 5000.0, "boot 1")
        for module in (trial_file, keeper_module, orders_module):
            monkeypatch.setattr(module, "instant", lambda: self.now)
        self.directory = directory
        self.path = write(directory, f"state: {{directory: {directory}}}\n")
        self.said: list[tuple[str, str]] = []
        self.faults: list[NodewardenError] = []
        self.write(11)
        self.start()

    def write(self, maxretry: int | str, name: str = "50-local.yaml") -> Path:
        """Write a file of conf.d."""
        return write(self.directory / "conf.d", text(maxretry), name)

    def start(self) -> None:
        """Start the daemon, as after a kill."""
        self.loaded, self.keeper = resume(self.path, self.now)
        self.keeper.attach(self)
        self.keeper.on_change = lambda name, what, _: self.said.append((name, what))
        self.orders = TrialOrders(self.path, self.keeper, lambda: self.loaded.settings)

    def reload(self) -> str:
        """Follow the files."""
        if self.faults:
            raise self.faults[0]
        loaded = load(self.path, self.keeper.standing)
        self.loaded = loaded
        self.keeper.followed(loaded)
        return "reloaded"

    def put_back(self, loaded: Loaded) -> None:
        """Follow what was read earlier."""
        if self.faults:
            raise self.faults[0]
        self.loaded = loaded

    @property
    def maxretry(self) -> int:
        """What is in force."""
        return int(self.loaded.settings.detectors.port_scan.maxretry)

    def apply(self, maxretry: int | str, within_s: float = 600.0, **more: Any) -> Any:
        """Try another value."""
        fields: dict[str, Any] = {"name": "try.yaml", "content": text(maxretry), "place": "60-try.yaml"}
        return self.orders.answer(Apply(**{**fields, "within_s": within_s, **more}))

    def wait(self, seconds: float, step_s: float = 0.0) -> None:
        """Let time pass, and the clock be set."""
        self.now = Instant(self.now.wall_s + seconds + step_s, self.now.boot_s + seconds, self.now.boot_id)
        self.keeper.tick(self.now)

    def reboot(self, down_s: float) -> None:
        """Start anew after a reboot."""
        self.now = Instant(self.now.wall_s + down_s, 9.0, self.now.boot_id + "'")
        self.start()


def text(maxretry: int | str) -> str:
    """Return a file of the configuration."""
    return f"detectors: {{port_scan: {{maxretry: {maxretry}}}}}\n"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Return a node."""
    return Node(tmp_path, monkeypatch)


def test_without_confirmation_it_goes_back(node: Node) -> None:
    """The files below /etc were never touched, and what became of it is said."""
    before = sorted(node.directory.rglob("*.yaml"))
    answer = node.apply(22)
    assert (answer["reload"], answer["waiting"]["left_s"], node.maxretry) == ("reloaded", 600.0, 22)
    (notice,) = node.keeper.notices(node.now)
    assert notice.startswith("trial configuration try.yaml, 10m left: `nodewarden apply --confirm`")
    node.wait(599.0)
    assert node.maxretry == 22
    node.wait(1.0)
    assert node.maxretry == 11
    assert node.said == [("try.yaml", "started"), ("try.yaml", "time")]
    assert node.keeper.notices(node.now) == ["trial configuration try.yaml ended: nobody confirmed it in time"]
    assert sorted(node.directory.rglob("*.yaml")) == before
    node.wait(86_400.0)
    assert node.keeper.notices(node.now) == node.keeper.problems() == []
    node.start()
    assert node.orders.answer(ApplyStatus())["ended"]["result"] == "time"


def test_files_that_say_the_same_confirm_it(node: Node) -> None:
    """Whoever wrote them: then it lasts, also over a restart."""
    node.apply(22)
    with pytest.raises(TrialRefused, match=r"60-try\.yaml does not say what the trial configuration says"):
        node.orders.answer(ApplyConfirm())
    assert node.maxretry == 22
    node.write(22, "60-try.yaml")
    assert node.orders.answer(ApplyConfirm())["waiting"] is None
    node.wait(700.0)
    assert (node.maxretry, node.keeper.results[Result.CONFIRMED]) == (22, 1)
    node.start()
    assert node.maxretry == 22
    with pytest.raises(TrialRefused, match=r"no trial configuration waits.*confirmed: the files say the same"):
        node.orders.answer(ApplyConfirm())


def test_a_confirmation_that_was_killed_halfway_is_one(node: Node) -> None:
    """The file was written, and the daemon never asked: when the time is over, what is said is what is in force."""
    node.apply(22)
    node.write(22, "60-try.yaml")
    node.wait(600.0)
    assert node.maxretry == 22
    assert node.said[-1] == ("try.yaml", "confirmed")
    assert node.keeper.notices(node.now) == []


def test_harm_does_not_take_a_file_back(node: Node) -> None:
    """It holds the trial already: it stays in force, and that is said."""
    node.apply(22)
    node.write(22, "60-try.yaml")
    node.keeper.banned_good = "192.0.2.7 (good) by sshd"
    node.wait(1.0)
    assert node.maxretry == 22
    (notice,) = node.keeper.notices(node.now)
    assert notice.endswith("60-try.yaml says the same, so it stays in force: change that file")


def test_it_takes_the_place_of_a_file(node: Node) -> None:
    """Of the same name in conf.d, or of the main file; going back leaves what anybody wrote there meanwhile."""
    node.apply(22, place="50-local.yaml")
    assert node.maxretry == 22
    node.write(33)
    (notice,) = node.keeper.notices(node.now)
    assert "50-local.yaml was changed meanwhile: it is not overwritten" in notice
    assert node.orders.answer(ApplyStatus())["waiting"]["is_target_changed"] is True
    node.reload()
    assert node.maxretry == 22
    node.orders.answer(ApplyBack())
    assert node.maxretry == 33
    whole = f"state: {{directory: {node.directory}}}\nmode: observe\n"
    node.apply(0, place="", content=whole)
    assert (node.loaded.settings.mode, node.maxretry) == ("observe", 33)
    node.orders.answer(ApplyBack())
    assert node.loaded.settings.mode == "enforce"
    with pytest.raises(TrialRefused, match="no trial configuration waits"):
        node.orders.answer(ApplyBack())


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"content": "detectors: {port_scan: {maxretry: x}}\n"}, ConfigError, "60-try.yaml:1:35"),
        ({"content": "detectors: {failures: {web: {filter: nginx-aut}}}\n"}, ConfigError, "no filter 'nginx-aut'"),
        ({"content": text(11)}, TrialRefused, "changes nothing"),
        ({"content": "{}\n"}, TrialRefused, "the configuration in force says the same"),
        ({"place": "40-x.yaml"}, TrialRefused, "50-local.yaml in conf.d is read after 40-x.yaml.*`--as 99-40-x.yaml`"),
        ({"place": "40-x.yaml", "content": "# no\n"}, TrialRefused, "the configuration in force says the same"),
        ({"content": "bans: {max_bans: 4096}\n"}, TrialRefused, "bans.max_bans: this takes effect after a restart"),
        ({"content": "state: {directory: /tmp}\n"}, TrialRefused, "state: this takes effect after a restart"),
        ({"within_s": 1.0}, TrialRefused, "from 10 s to 24 h"),
        ({"within_s": float("nan")}, TrialRefused, "from 10 s to 24 h"),
        ({"place": "../x.yaml"}, TrialRefused, "a name such as 50-local.yaml"),
        ({"place": ".x.yaml"}, TrialRefused, "a name such as 50-local.yaml"),
        ({"place": "x.yml"}, TrialRefused, "a name such as 50-local.yaml"),
        ({"known_good": ["nobody"]}, TrialRefused, "known-good networks"),
        ({"known_good": ["192.0.2.1"] * 10_001}, TrialRefused, "more than 10000"),
    ],
)
def test_what_cannot_be_tried_changes_nothing(
    node: Node, change: dict[str, Any], kind: type[Exception], message: str
) -> None:
    """Nothing is in force, and nothing is remembered."""
    with pytest.raises(kind, match=message):
        node.apply(22, **change)
    assert node.maxretry == 11
    assert not (node.directory / FILE_NAME).exists()
    assert node.said == []


def test_a_second_one_is_refused_and_so_are_edits_that_wait(node: Node) -> None:
    """Going back from one would end in the other, or in edits that nobody put in force."""
    node.apply(22)
    with pytest.raises(TrialRefused, match=r"try\.yaml waits to be confirmed \(600 s left\)"):
        node.apply(33)
    node.orders.answer(ApplyBack())
    node.write(12)
    with pytest.raises(TrialRefused, match="the files on disk say something else than what is in force"):
        node.apply(22)
    assert node.maxretry == 11


def test_faulty_files_do_not_keep_it_in_force(node: Node) -> None:
    """What was valid last is put back, also after a restart in between; the files are somebody's to correct."""
    for is_restarted in (False, True):
        node.write(11)
        node.reload()
        node.apply(22)
        if is_restarted:
            node.start()
            assert node.maxretry == 22
        node.write("x")
        node.wait(600.0)
        assert node.maxretry == 11
        assert node.keeper.problems() == []
    assert (node.directory / "conf.d/50-local.yaml").read_text() == text("x")


def test_going_back_is_tried_again(node: Node) -> None:
    """Where the kernel refuses: it is a problem until it succeeds, and no restart continues the trial."""
    node.apply(22)
    node.faults = [TemporaryError("the kernel does not answer")]
    node.wait(600.0)
    assert node.maxretry == 22
    assert node.keeper.problems() == [
        "the trial configuration is still in force, going back failed: the kernel does not answer"
    ]
    node.wait(6.0)
    assert node.maxretry == 22
    node.faults = []
    node.wait(1.0)
    assert node.maxretry == 22
    node.wait(5.0)
    assert node.maxretry == 11
    assert node.keeper.problems() == []


def test_a_start_that_the_reload_refuses_changes_nothing(node: Node) -> None:
    """The earlier one stays, and a restart does not put the refused one in force."""
    node.faults = [TemporaryError("no descriptors")]
    with pytest.raises(TemporaryError, match="no descriptors"):
        node.apply(22)
    assert node.keeper.problems() != []
    node.faults = []
    node.wait(6.0)
    assert (node.maxretry, node.keeper.problems()) == (11, [])
    node.start()
    assert (node.maxretry, node.keeper.trial) == (11, None)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 9}', b'{"version": 1, "trial": {"name": 1}}', b"\xff" * 99]
)
def test_a_damaged_record_goes_back(node: Node, content: bytes) -> None:
    """The files alone are in force, and `status` says why."""
    node.apply(22)
    (node.directory / FILE_NAME).write_bytes(content)
    node.start()
    assert (node.maxretry, node.keeper.trial) == (11, None)
    (notice,) = node.keeper.notices(node.now)
    assert FILE_NAME in notice
    node.start()
    assert node.orders.answer(ApplyStatus())["ended"]["result"] == "unusable"


@pytest.mark.parametrize(
    "changes",
    [
        {"limit_s": 1e300},
        {"limit_s": 90_000.0},
        {"used_s": -1e9},
        {"boot_s": 1e12},
        {"target": "/etc/passwd"},
        {"target": "/etc/nodewarden/x\0.yaml"},
        {"known_good": ["nobody"]},
    ],
    ids="-".join,
)
def test_a_record_that_would_never_end_goes_back(node: Node, changes: dict[str, object]) -> None:
    """It can be read, but no trial is like that: a bit was flipped, or somebody wrote it."""
    node.apply(22)
    path = node.keeper._file.path
    content = msgspec.json.decode(path.read_bytes())
    content["trial"] |= changes
    path.write_bytes(msgspec.json.encode(content))
    node.start()
    assert node.maxretry == 11
    assert node.keeper.trial is None
    assert node.keeper.ended is not None
    assert "damaged" in node.keeper.ended.text


def test_what_no_longer_loads_after_a_restart_goes_back(node: Node) -> None:
    """The files changed so that both together are invalid: the files alone are valid, and in force."""
    node.apply("40, max_entries: 3400")
    write(node.directory / "conf.d", "detectors: {port_scan: {maxretry: 3500}}\n", "70-more.yaml")
    write(node.directory / "conf.d", "detectors: {port_scan: {max_entries: 3600}}\n", "55-more.yaml")
    node.start()
    assert node.maxretry == 3500
    assert node.keeper.trial is None


def test_the_disk_is_full(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start where it cannot be remembered; where only its end cannot be, the record is removed."""

    def full(*_: object, **__: object) -> None:
        raise TemporaryError("no space left on device")

    with monkeypatch.context() as context:
        context.setattr(trial_file.TrialFile, "write", full)
        with pytest.raises(TemporaryError, match="no space left"):
            node.apply(22)
        assert node.maxretry == 11
    node.apply(22)
    with monkeypatch.context() as context:
        context.setattr(trial_file.TrialFile, "write", full)
        node.wait(20.0)
        assert node.keeper.problems() == [
            "how long the trial configuration is in force cannot be saved: no space left on device"
        ]
        node.wait(600.0)
        assert (node.maxretry, node.keeper.problems()) == (11, [])
        node.start()
        assert node.maxretry == 11


def test_harm_ends_it(node: Node) -> None:
    """Bans without budget, counted from its start, whatever was refused before; another budget counts anew."""
    refused = 7
    node.keeper.refused = lambda: refused
    node.apply(22)
    node.wait(1.0)
    assert node.maxretry == 22
    refused = 0
    node.wait(1.0)
    assert node.maxretry == 22
    refused = 2
    node.wait(1.0)
    assert node.maxretry == 11
    assert node.said[-1] == ("try.yaml", "budget")
    node.apply(22)
    node.keeper.banned_good = "192.0.2.7 (good) by sshd"
    node.wait(1.0)
    assert node.maxretry == 11
    node.apply(22)
    node.wait(1.0)
    assert node.maxretry == 22


@pytest.mark.parametrize("seed", range(20))
def test_any_order_keeps_the_earlier_configuration(seed: int, node: Node) -> None:
    """Confirmed or not, killed, rebooted, with files edited meanwhile: what is in force is what one may expect."""
    chance = random.Random(seed)
    files, ends_s, tried = 11, 0.0, 0
    for step in range(14):
        what = chance.choice(["apply", "confirm", "back", "edit", "reload", "restart", "reboot", "wait", "wait"])
        used_s = 0.0
        if what == "apply" and not tried:
            tried, ends_s = 100 + step, 300.0
            node.apply(tried)
        elif what == "confirm" and tried and chance.random() < 0.5:
            node.write(tried, "60-try.yaml")
            node.orders.answer(ApplyConfirm())
            files, tried = tried, 0
        elif what == "back" and tried:
            node.orders.answer(ApplyBack())
            tried = 0
        elif what == "edit" and not (node.directory / "conf.d/60-try.yaml").exists():
            files = 20 + step
            node.write(files)
            node.reload()
        elif what == "reload":
            node.reload()
        elif what == "restart":
            node.start()
        elif what == "reboot":
            used_s = float(chance.randrange(30))
            node.reboot(used_s)
            used_s = max(used_s, REBOOT_S)
        elif what == "wait":
            used_s = float(chance.randrange(150))
            node.wait(used_s, step_s=chance.choice([0.0, 0.0, -50.0, 5000.0]))
        ends_s -= used_s
        tried = tried if ends_s > 0 else 0
        assert node.maxretry == (tried or files), what
        assert (node.keeper.trial is not None) is bool(tried)
        assert node.keeper.problems() == []


def test_the_record_is_for_the_daemon_alone(node: Node) -> None:
    """Others may not read it: a configuration may hold what they should not see."""
    node.apply(22)
    assert (node.directory / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert isinstance(node.keeper, TrialKeeper)
