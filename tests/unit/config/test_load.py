"""The loader: what the files say becomes settings, or faults that name their place."""

import os
from pathlib import Path

import pytest

from monitor.config.types import Endpoint, PortRange
from monitor.model.addresses import parse_network
from monitor.model.bans import Mode
from monitor.settings.load import load
from monitor.settings.schema import Level, Settings
from tests.unit.config.support import faults_of, write


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "~", "null", "{}", "\ufeff", "detectors:\n", "detectors: {port_scan: ~}"]
)
def test_nothing_means_defaults(tmp_path: Path, text: str) -> None:
    """An empty file and empty sections give the schema's defaults, and the origins say so."""
    loaded = load(write(tmp_path, text))
    assert loaded.settings == Settings()
    assert {str(origin) for origin in loaded.origins.values()} == {"default"}
    assert loaded.files == (tmp_path / "nodewarden.yaml",)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    """Values reach the settings as typed values in their units."""
    text = """
sources:
  kernel_log: {enabled: no, prefixes: ["[UFW BLOCK]", no, 0123], ignore_prefixes: []}
detectors:
  ephemeral_ports: 1024-65535
  port_scan: {mode: observe, findtime: 1h30m, maxretry: 3, bantime: 4w, max_entries: 1024}
bans:
  allowlist: [192.0.2.1, "2001:db8::/32"]
metrics: {enabled: OFF, listen: "[::1]:9843"}
state: {directory: /srv/state}
control: {socket: /run/x.sock, group: wheel}
log: {level: debug}
"""
    settings = load(write(tmp_path, text)).settings
    assert settings.sources.kernel_log.prefixes == ("[UFW BLOCK]", "no", "0123")
    assert settings.sources.kernel_log.ignore_prefixes == ()
    assert not settings.sources.kernel_log.enabled
    assert settings.detectors.ephemeral_ports == PortRange(1024, 65535)
    assert settings.detectors.port_scan.mode is Mode.OBSERVE
    assert settings.detectors.port_scan.findtime_s == 5400
    assert settings.detectors.port_scan.bantime_s == 2_419_200
    assert settings.bans.allowlist == (parse_network("192.0.2.1"), parse_network("2001:db8::/32"))
    assert settings.metrics.listen == Endpoint("::1", 9843)
    assert settings.state.directory == Path("/srv/state")
    assert settings.control.group == "wheel"
    assert settings.log.level is Level.DEBUG


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    """Mappings merge, values and most lists are replaced, files go by name, an origin is that of the last file."""
    main = write(
        tmp_path, "detectors:\n  port_scan: {maxretry: 5, bantime: 2h}\nbans:\n  increment: {multipliers: [1, 2]}\n"
    )
    write(tmp_path, "detectors:\n  port_scan:\n    maxretry: 9\n", "conf.d/20-b.yaml")
    write(
        tmp_path, "detectors:\n  port_scan: {maxretry: 7}\nbans: {increment: {multipliers: [9]}}\n", "conf.d/10-a.yaml"
    )
    write(tmp_path, "detectors:\n", "conf.d/30-empty.yaml")
    write(tmp_path, "not: ours", "conf.d/.hidden.yaml")
    write(tmp_path, "not: ours", "conf.d/README")
    loaded = load(main)
    assert [file.name for file in loaded.files] == ["nodewarden.yaml", "10-a.yaml", "20-b.yaml", "30-empty.yaml"]
    assert loaded.settings.detectors.port_scan.maxretry == 9
    assert loaded.settings.detectors.port_scan.bantime_s == 7200
    assert loaded.settings.bans.increment.multipliers == (9.0,)
    assert str(loaded.origins["detectors.port_scan.maxretry"]) == f"{tmp_path}/conf.d/20-b.yaml:3"
    assert str(loaded.origins["detectors.port_scan.bantime"]) == f"{tmp_path}/nodewarden.yaml:2"
    assert str(loaded.origins["bans.increment.multipliers"]) == f"{tmp_path}/conf.d/10-a.yaml:3"
    assert str(loaded.origins["bans.max_bans"]) == "default"


def test_a_typo_is_answered_with_the_near_key(tmp_path: Path) -> None:
    """An unknown key is a fault with its place, and with the key that was probably meant."""
    path = write(tmp_path, "detectors:\n  port_scan:\n    maxrety: 5\nquite_other: 1\n")
    known = ", ".join(Settings.__struct_fields__)
    assert faults_of(path) == [
        "nodewarden.yaml:3:5: detectors.port_scan.maxrety: unknown key; did you mean maxretry?",
        f"nodewarden.yaml:4:1: quite_other: unknown key; known keys: {known}; names of your own belong below lists",
    ]


def test_all_faults_of_all_files_come_at_once(tmp_path: Path) -> None:
    """Faults are sorted by place, in the order in which files are read; an overridden fault is still a fault."""
    path = write(tmp_path, "log: {level: warn}\nbans:\n  max_bans: 1\n  allowlist:\n  - 10.0.0.1/8\n  - ::1/0\n")
    write(tmp_path, "log: {level: info}\n  bad", "conf.d/1.yaml")
    write(tmp_path, "metrics: on\n", "conf.d/2.yaml")
    assert faults_of(path) == [
        "nodewarden.yaml:1:14: log.level: 'warn' is not one of debug, info, warning, error; did you mean warning?",
        "nodewarden.yaml:3:13: bans.max_bans: 1 is out of range: expected 16 to 1048576",
        "nodewarden.yaml:5:5: bans.allowlist[0]: '10.0.0.1/8' has host bits set; did you mean 10.0.0.0/8?",
        "nodewarden.yaml:6:5: bans.allowlist[1]: '::1/0' has host bits set; did you mean ::/0?",
        "conf.d/1.yaml:2:3: not valid YAML: while parsing a block mapping, did not find expected key",
        "conf.d/2.yaml:1:10: metrics: expected a mapping with keys (enabled, listen, web_config_file), found 'on'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("log: {level: info}\nlog: {level: debug}", "2:1: log: duplicate key; it is already in line 1"),
        (
            "detectors: {port_scan: {findtime: }}",
            "1:35: detectors.port_scan.findtime: expected a duration, 1s to 1w, found nothing; remove the key",
        ),
        ("detectors: {port_scan: {findtime: 1:30}}", "1:35: detectors.port_scan.findtime: '1:30' is not a duration"),
        (
            "detectors: {port_scan: {maxretry: 0x10}}",
            "1:35: detectors.port_scan.maxretry: '0x10' is not a whole number",
        ),
        ("detectors: {port_scan: {maxretry: [5]}}", "maxretry: expected an integer, 2 to 10000, found a list"),
        ("detectors: {port_scan: {mode: {a: b}}}", "mode: expected `enforce` or `observe`, found a mapping"),
        ("detectors: {port_scan: {findtime_s: 5}}", "unknown key; did you mean findtime?"),
        ("allowlist: [10.0.0.0/8]", "allowlist: unknown key; did you mean bans.allowlist?"),
        ("ignoreip: [10.0.0.0/8]", "ignoreip: unknown key; did you mean bans.allowlist?"),
        ("port_scan: {maxretry: 5}", "port_scan: unknown key; did you mean detectors.port_scan?"),
        ("maxretry: 5", "maxretry: unknown key; known keys: mode, sources"),
        ("detectors: {sshd: {maxretry: 3}}", "; names of your own belong below detectors.failures"),
        ("detectors: {failures: {sshd: {logpath: /x}}}", ".logpath: unknown key; did you mean files?"),
        ("bans: {allowlist: 10.0.0.0/8}", "bans.allowlist: expected a list, found '10.0.0.0/8'; write it as [...]"),
        ("bans:\n  allowlist:\n", "bans.allowlist: expected a list, found nothing; write [] for an empty list"),
        ("bans: {allowlist: [~]}", "bans.allowlist[0]: expected a network, found nothing"),
        (
            "sources: {kernel_log: {ignore_prefixes: ['']}}",
            "ignore_prefixes[0]: expected a text of 1 to 127 characters",
        ),
        ("- a\n- b", "1:1: expected a mapping with keys (mode, sources, detectors, bans"),
        ("'~'", "1:1: expected a mapping with keys (mode, sources, detectors, bans"),
        ("{[a]: b}", "1:2: expected a key, found a list"),
        ('"a\\nb": 1', "1:1: 'a\\nb': unknown key"),
        ('log: {level: "a\\x1b[2Jb"}', "1:14: log.level: 'a\\x1b[2Jb' is not one of"),
        ('control: {group: "\\u202egroup"}', "'\\u202egroup' is not a group name"),
        ("log: {level: " + "x" * 5000 + "}", "log.level: 5000 characters are too many for one value"),
        ("log: {level: " + "x" * 4000 + "}", "log.level: '" + "x" * 60 + "'... is not one of"),
        ("<<: {log: {}}", "1:1: '<<': unknown key"),
        ("log: &a {level: info}", "1:6: anchors (&) and aliases (*) are not supported"),
        ("a: &a [*a]", "1:4: anchors"),
        ("log: {level: !!str info}", "1:14: tags (!) are not supported"),
        ("!!python/object:os.system {}", "1:1: tags (!) are not supported"),
        ("[" * 100, "1:33: nested more than 32 levels deep"),
        ("log: {}\n---\nlog: {}", "2:1: only one document per file"),
        ("log: {level: info", "not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'"),
        (
            "log:\n\tlevel: info",
            "2:1: not valid YAML: while scanning for the next token, found character that cannot start",
        ),
        ('"\\UFFFFFFFF": 1', "not valid YAML"),
    ],
)
def test_faults_name_place_and_remedy(tmp_path: Path, text: str, fault: str) -> None:
    """Each way to get a file wrong gets one clear line."""
    assert fault in faults_of(write(tmp_path, text))[0]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"log:\n  level: \xe4", "nodewarden.yaml:2:10: byte 0xe4 is not UTF-8; save the file as UTF-8"),
        ("log: {}".encode("utf-16"), "nodewarden.yaml:1:1: byte 0xff is not UTF-8; save the file as UTF-8"),
        (b"log: {}\n# \x00", "nodewarden.yaml:2:3: character U+0000 is not allowed in YAML"),
        (b"#" * (1 << 20) + b"\n", "nodewarden.yaml: larger than 1 MiB"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes, fault: str) -> None:
    """Other encodings, control characters and huge files are named before YAML is even tried."""
    (line,) = faults_of(write(tmp_path, data))
    assert line.startswith(fault)


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    """1 MiB is allowed."""
    assert load(write(tmp_path, b"#" * (1 << 20))).settings == Settings()


def test_a_threshold_beyond_memory_is_refused_at_its_place(tmp_path: Path) -> None:
    """maxretry must be less than max_entries; the fault is where maxretry is, or else where max_entries is."""
    text = "detectors:\n  port_scan: {max_entries: 2000, maxretry: 2000}\n  host_sweep: {max_entries: 2000}\n"
    path = write(tmp_path, text)
    write(tmp_path, "detectors: {host_sweep: {maxretry: 3000}}", "conf.d/1.yaml")
    reason = "can never be reached: it must be less than max_entries (2000)"
    assert faults_of(path) == [
        f"nodewarden.yaml:2:44: detectors.port_scan.maxretry: 2000 {reason}",
        f"conf.d/1.yaml:1:36: detectors.host_sweep.maxretry: 3000 {reason}",
    ]


def test_a_faulty_value_has_no_second_fault(tmp_path: Path) -> None:
    """Values that could not be read take no part in checks between values."""
    path = write(tmp_path, "detectors: {port_scan: {max_entries: 10, maxretry: 2000}}")
    assert len(faults_of(path)) == 1


def test_a_missing_main_file_is_a_fault(tmp_path: Path) -> None:
    """Without a main file nothing starts, whatever conf.d holds."""
    write(tmp_path, "log: {}", "conf.d/1.yaml")
    (line,) = faults_of(tmp_path / "nodewarden.yaml")
    advice = "create it (an empty file means all defaults) or name another file with --config"
    assert line == f"nodewarden.yaml: no such file; {advice}"


def test_things_in_a_files_place_are_named(tmp_path: Path) -> None:
    """A directory, a FIFO (which must not block), a file as a directory, and a circle of links each get one line."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/1.yaml").mkdir()
    os.mkfifo(tmp_path / "conf.d/2.yaml")
    (tmp_path / "conf.d/3.yaml").symlink_to("3.yaml")
    path = write(tmp_path, "")
    lines = faults_of(path)
    assert lines[0] == "conf.d/1.yaml: this is a directory; expected a YAML file"
    assert lines[1] == "conf.d/2.yaml: not a regular file; expected a YAML file"
    assert lines[2].startswith("conf.d/3.yaml: the symbolic links form a cycle")
    assert "part of this path is a file" in faults_of(path / "inner.yaml")[-1]
    assert "not a valid file name" in faults_of(tmp_path / "a\0b" / ".." / "x.yaml")[-1]


def test_conf_d_must_be_a_directory_of_yaml_files(tmp_path: Path) -> None:
    """A file named conf.d, and a *.yml that would silently not be read, are faults."""
    path = write(tmp_path, "")
    write(tmp_path, "log: {}", "conf.d/local.yml")
    assert faults_of(path) == ["conf.d/local.yml: only *.yaml is read; rename it to local.yaml or move it elsewhere"]
    other = write(tmp_path / "other", "")
    write(tmp_path / "other", "", "conf.d")
    assert faults_of(other) == ["conf.d: not a directory; expected a directory of YAML files"]


def test_permission_denied_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that this user may not read gets one line; root reads anything, so the kernel's answer is put in."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, "")
    monkeypatch.setattr(os, "open", refuse)
    assert faults_of(path) == ["nodewarden.yaml: permission denied; run as root, or give this user read permission"]


def test_file_names_cannot_break_a_message(tmp_path: Path) -> None:
    """A line feed in the name of a file is escaped, so that one fault stays one line."""
    path = write(tmp_path, "")
    write(tmp_path, "x: 1", "conf.d/a\nb.yaml")
    (line,) = faults_of(path)
    assert "a\\nb.yaml':1:1: x: unknown key" in line
