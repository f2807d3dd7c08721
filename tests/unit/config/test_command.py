"""`nodewarden config`: exit codes and output of check, show and schema."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from monitor.cli.config import config_group
from tests.unit.config.support import write


def run(*arguments: str | Path) -> Result:
    """Run `nodewarden config` with arguments."""
    return CliRunner().invoke(config_group, [str(argument) for argument in arguments])


def test_check_names_the_files_it_read(tmp_path: Path) -> None:
    """A sound configuration is one line and exit code 0."""
    path = write(tmp_path, "log: {level: debug}")
    extra = write(tmp_path, "", "conf.d/1.yaml")
    result = run("check", "--config", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"OK: {path}, {extra}\n", "")
    result = run("check", "--config", path, "--json")
    assert json.loads(result.stdout) == {"ok": True, "files": [str(path), str(extra)], "faults": [], "warnings": []}


def test_faults_go_to_standard_error_with_exit_code_2(tmp_path: Path) -> None:
    """check and show print one fault a line, nothing on standard output."""
    path = write(tmp_path, "log: {levl: debug}\nbans: {max_bans: x}")
    for command in ("check", "show"):
        result = run(command, "--config", path)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.splitlines() == [
            f"{path}:1:7: log.levl: unknown key; did you mean level?",
            f"{path}:2:18: bans.max_bans: 'x' is not a whole number (expected for example 15)",
        ]


def test_faults_as_json_have_their_places(tmp_path: Path) -> None:
    """--json gives file, line, column, path and message of each fault, and still exit code 2."""
    path = write(tmp_path, "log: {levl: debug}")
    for command in ("check", "show"):
        result = run(command, "--config", path, "--json")
        assert result.exit_code == 2
        assert json.loads(result.stdout) == {
            "ok": False,
            "files": [str(path)],
            "faults": [
                {
                    "file": str(path),
                    "line": 1,
                    "column": 7,
                    "path": "log.levl",
                    "message": "unknown key; did you mean level?",
                }
            ],
            "warnings": [],
        }


def test_show_says_where_each_value_comes_from(tmp_path: Path) -> None:
    """Each setting is a line of path, value and origin."""
    path = write(tmp_path, "detectors:\n  port_scan: {bantime: 90m}\n")
    rows = {line.split()[0]: line.split()[1:] for line in run("show", "--config", path).stdout.splitlines() if line}
    assert rows["detectors.port_scan.bantime"] == ["1h30m", f"{path}:2"]
    assert rows["log.level"] == ["info", "default"]
    assert rows["metrics.enabled"] == ["true", "default"]


def test_what_show_prints_as_json_is_a_configuration(tmp_path: Path) -> None:
    """The settings in JSON can be loaded again (JSON is YAML), and each has an origin."""
    path = write(tmp_path, "bans: {allowlist: [10.0.0.0/8]}\ndetectors: {port_scan: {bantime: 90m}}\n")
    shown = json.loads(run("show", "--config", path, "--json").stdout)
    assert shown["files"] == [str(path)]
    assert shown["origins"]["bans.allowlist"] == f"{path}:1"
    assert shown["settings"]["bans"]["allowlist"] == ["10.0.0.0/8"]
    again = write(tmp_path / "again", json.dumps(shown["settings"]))
    assert json.loads(run("show", "--config", again, "--json").stdout)["settings"] == shown["settings"]


def test_schema_prints_json_schema() -> None:
    """The schema is JSON on standard output."""
    result = run("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
