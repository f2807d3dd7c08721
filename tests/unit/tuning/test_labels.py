"""Labels: what the operator knows of addresses, in a file that survives two writers, a kill and a hostile reader."""

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.cli.main import cli
from monitor.daemon.tuning.label_file import FILE_NAME, MAX_LABELS, MAX_REASON, LabelFile, LabelsError, read_labels
from monitor.daemon.tuning.labels import Label, Labels, Opinion
from monitor.model.addresses import Network, network_of, parse_network
from tests.unit.cli.test_escapes import HOSTILE, is_safe

NETWORKS = st.builds(
    lambda first, length: network_of(bytes((192, 0, 2, first)), length), st.integers(0, 255), st.integers(24, 32)
)


def label(text: str, opinion: Opinion = Opinion.GOOD, reason: str = "") -> Label:
    """Return a label of a network."""
    return Label(parse_network(text), opinion, reason, 1000.0)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Run `nodewarden label` with a state directory of its own."""
    path = tmp_path / "nodewarden.yaml"
    path.write_text(f"state: {{directory: {tmp_path}}}\n")

    def call(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["label", *arguments, "--config", str(path)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return call


def test_the_command_line(run: Callable[..., tuple[int, str]]) -> None:
    """A label is set without a word of command, listed, replaced and removed."""
    assert run("192.0.2.7", "good", "--reason", "our probe") == (0, "192.0.2.7 is labelled good\n")
    run("2001:db8::/32", "good")
    run("2001:db8::/32", "bad")
    code, text = run("list", "--json")
    assert code == 0
    assert [(one["network"], one["label"], one["reason"]) for one in json.loads(text)] == [
        ("192.0.2.7", "good", "our probe"),
        ("2001:db8::/32", "bad", ""),
    ]
    assert run("remove", "192.0.2.7", "192.0.2.8") == (1, "192.0.2.7: label removed\n192.0.2.8 has no label\n")
    assert run("remove", "2001:db8::/32")[0] == 0
    assert run("list") == (0, "no labels\n")


@pytest.mark.parametrize("arguments", [("192.0.2.300", "good"), ("192.0.2.1/24", "bad"), ("192.0.2.1", "ugly"), ("x",)])
def test_wrong_usage_is_exit_code_2(run: Callable[..., tuple[int, str]], arguments: tuple[str, ...]) -> None:
    """An address that is none and a label that is none are named."""
    code, text = run(*arguments)
    assert code == 2
    assert "Error" in text


def test_a_hostile_reason_is_escaped(run: Callable[..., tuple[int, str]]) -> None:
    """A reason that was copied from a log obeys no terminal."""
    run("192.0.2.7", "bad", "--reason", HOSTILE.replace("\x00", ""))
    for arguments in (["list"], ["list", "--json"]):
        text = run(*arguments)[1]
        assert is_safe(text)
        assert len([line for line in text.splitlines() if "192.0.2.7" in line]) == 1
        assert not any(line.startswith("2026-11-27 INFO") for line in text.splitlines())


@given(st.dictionaries(NETWORKS, st.sampled_from(Opinion), max_size=8), NETWORKS)
@settings(max_examples=100)
def test_the_label_of_a_network(opinions: dict[Network, Opinion], network: Network) -> None:
    """The most specific label around each address of a network counts, and a good one inside it counts for all."""
    labels = Labels(Label(network, opinion, "", 0.0) for network, opinion in opinions.items())
    first, last = (int.from_bytes(end) for end in (network.address, network.last()))
    met = set()
    for number in range(first, last + 1):
        around = [one for one in opinions if one.contains(number.to_bytes(4))]
        if around:
            met.add(opinions[max(around, key=lambda one: one.prefix_length)])
    expected = Opinion.GOOD if Opinion.GOOD in met else Opinion.BAD if met else None
    found = labels.of(network)
    assert (found.opinion if found else None) == expected


def test_the_file_is_private_and_of_the_directory_s_owner(tmp_path: Path) -> None:
    """What root writes is read by the daemon, and by nobody else."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 12345, 12346)
    LabelFile(tmp_path).put([label("192.0.2.7")])
    status, directory = (tmp_path / FILE_NAME).stat(), tmp_path.stat()
    assert (status.st_uid, status.st_gid) == (directory.st_uid, directory.st_gid)
    assert status.st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_no_link_in_the_directory_is_followed(tmp_path: Path) -> None:
    """A daemon that was taken over cannot have root write elsewhere."""
    state, victim = tmp_path / "state", tmp_path / "victim"
    state.mkdir()
    victim.write_text("untouched")
    for name in (FILE_NAME, f".{FILE_NAME}.new"):
        (state / name).symlink_to(victim)
    with pytest.raises(LabelsError):
        LabelFile(state).put([label("192.0.2.7")])
    (state / FILE_NAME).unlink()
    LabelFile(state).put([label("192.0.2.7")])
    assert victim.read_text() == "untouched"
    assert len(read_labels(state)) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b'{"version": 2, "labels": []}', "version 2"),
        (b'{"version": 1, "labels": [{"network": "x", "opinion": "good", "reason": "", "since_s": 0}]}', "label 1"),
        (b'{"version": 1, "labels": [{"network": "::", "opinion": "ugly", "reason": "", "since_s": 0}]}', "label 1"),
        (b'{"version": 1, "labels": [' + b"{}," * MAX_LABELS + b"{}]}", "at most 10000"),
        (b"\xff" * 100, "damaged"),
        (b" " * 16_000_001, "larger than"),
    ],
)
def test_a_damaged_file_is_refused_and_stays(tmp_path: Path, content: bytes, words: str) -> None:
    """A change would lose what is still in it: nothing is written, and the message says what to do."""
    (tmp_path / FILE_NAME).write_bytes(content)
    for attempt in (
        lambda: read_labels(tmp_path),
        lambda: LabelFile(tmp_path).put([label("192.0.2.7")]),
        lambda: LabelFile(tmp_path).remove([]),
    ):
        with pytest.raises(LabelsError, match=words):
            attempt()
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_a_fifo_and_a_missing_directory_are_said(tmp_path: Path) -> None:
    """Nothing waits, and nothing is a traceback."""
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(LabelsError, match="not a regular file"):
        read_labels(tmp_path)
    assert len(read_labels(tmp_path / "nowhere")) == 0
    with pytest.raises(LabelsError, match="nowhere cannot be opened"):
        LabelFile(tmp_path / "nowhere").put([label("192.0.2.7")])


def test_labels_and_reasons_are_bounded(tmp_path: Path) -> None:
    """The last label that fits can be replaced, and one more is refused; the largest file can be read again."""
    longest = "\x00" * MAX_REASON
    every = [Label(network_of(number.to_bytes(16), 128), Opinion.BAD, longest, 1e9) for number in range(MAX_LABELS)]
    LabelFile(tmp_path).put(every)
    assert len(read_labels(tmp_path)) == MAX_LABELS
    LabelFile(tmp_path).put(every[:1])
    with pytest.raises(LabelsError, match="room for"):
        LabelFile(tmp_path).put([label("192.0.2.7")])
    with pytest.raises(LabelsError, match="at most 200"):
        LabelFile(tmp_path).put([label("192.0.2.7", reason="x" * (MAX_REASON + 1))])


def _put_some(directory: Path, start: int) -> None:
    for number in range(start, start + 20):
        LabelFile(directory).put([label(f"192.0.2.{number}")])


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    """Two commands at once wait for each other."""
    spawn = multiprocessing.get_context("fork")
    writers = [spawn.Process(target=_put_some, args=(tmp_path, start)) for start in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(read_labels(tmp_path)) == 40
