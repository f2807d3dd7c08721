"""Section `notify` as operators write it: names, limits, secrets that are never shown."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import cli
from monitor.notify.channel import Again
from monitor.notify.secrets import read_secret

SECRET = "https://hooks.example.org/T00/SECRET"


def _run(tmp_path: Path, text: str, *words: str) -> Result:
    (tmp_path / "nodewarden.yaml").write_text(text)
    arguments = [*words, "--config", str(tmp_path / "nodewarden.yaml")]
    command = cli.commands[arguments[0]]
    return CliRunner().invoke(command, arguments[1:])


def test_a_name_is_that_of_one_channel(tmp_path: Path) -> None:
    """Commands and metrics name a channel, so a mail and a webhook cannot have one name."""
    url = "https://hooks.example.org/"
    text = f'notify: {{webhook: {{ops: {{url: "{url}"}}}}, exec: {{ops: {{command: [/bin/true]}}}}}}\n'
    done = _run(tmp_path, text, "config", "check")
    assert done.exit_code == 2
    assert "two channels have the name ops" in done.stderr


def test_more_channels_than_can_be_watched_are_refused(tmp_path: Path) -> None:
    """Each channel is a thread and a series of metrics: there are at most 16."""
    channels = ", ".join(f'c{n}: {{url: "https://hooks.example.org/"}}' for n in range(17))
    done = _run(tmp_path, f"notify: {{webhook: {{{channels}}}}}\n", "config", "check")
    assert done.exit_code == 2
    assert "17 channels are too many" in done.stderr


def test_files_of_channels_are_warnings(tmp_path: Path) -> None:
    """A secret that is missing, or that everybody may read, is named; the daemon starts nevertheless."""
    path = tmp_path / "chat.url"
    text = f"notify: {{webhook: {{chat: {{url_file: {path}}}}}}}\n"
    done = _run(tmp_path, text, "config", "check")
    assert done.exit_code == 0
    assert f"notify.webhook.chat.url_file: {path} does not exist now" in done.stderr
    path.write_text(SECRET)
    path.chmod(0o644)
    done = _run(tmp_path, text, "config", "check")
    assert "chmod 640" in done.stderr or "may not read" in done.stderr
    assert "SECRET" not in done.output
    shown = _run(tmp_path, text, "config", "show")
    assert str(path) in shown.output
    assert "SECRET" not in shown.output


def test_a_secret_in_the_configuration_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """Where a file is expected and a secret is given, the message does not show it."""
    done = _run(tmp_path, f'notify: {{webhook: {{chat: {{url_file: "{SECRET}"}}}}}}\n', "config", "check")
    assert done.exit_code == 2
    assert "expected an absolute path, or the name of a credential" in done.stderr
    assert "SECRET" not in done.output


def test_secrets_come_from_files_and_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is a file, a bare name a credential of the unit; faults name the file and not what is in it."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path = tmp_path / "chat"
    path.write_text(f"{SECRET}\n")
    assert read_secret("chat") == read_secret(str(path)) == SECRET
    for content in (b"", b"\n", b"x" * 9000, b"SECRET\xff"):
        path.write_bytes(content)
        with pytest.raises(Again) as caught:
            read_secret("chat")
        assert str(path) in str(caught.value)
        assert "SECRET" not in str(caught.value)
    path.unlink()
    path.mkdir()
    with pytest.raises(Again, match="cannot be read"):
        read_secret("chat")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(Again, match="LoadCredential"):
        read_secret("chat")


def test_commands_without_a_channel(tmp_path: Path) -> None:
    """The notifier has nothing to do and ends well; the others say that there is none."""
    text = f"state: {{directory: {tmp_path}}}\n"
    done = _run(tmp_path, text, "notify", "status")
    assert (done.exit_code, done.output) == (0, "no channel is configured in section notify\n")
    done = _run(tmp_path, text, "notify", "test", "mail")
    assert done.exit_code == 2
    assert "'mail' is no channel of the configuration: section notify has none" in done.stderr


def test_a_test_message_goes_through_the_channel(tmp_path: Path) -> None:
    """`notify test` runs the real channel, shows what came of it, and fails if it did."""
    got = tmp_path / "got"
    script = tmp_path / "run"
    script.write_text(f"#!/bin/sh\ncat > {got}\n")
    script.chmod(0o755)
    channels = f"exec: {{good: {{command: [{script}]}}, bad: {{command: [/bin/false]}}}}"
    text = f"state: {{directory: {tmp_path}}}\nnotify: {{{channels}}}\n"
    done = _run(tmp_path, text, "notify", "test", "good")
    assert done.exit_code == 0, done.output
    assert "good: sent in " in done.output
    assert "test message of channel good" in got.read_text()
    done = _run(tmp_path, text, "notify", "test", "--all")
    assert done.exit_code == 1
    assert "bad: failed after " in done.stderr
