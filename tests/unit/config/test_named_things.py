"""Everything that the configuration refers to, in every state that it can be in: the check says where the fault is.

Each pair of a reference and a state is tried by the whole of `config check`. A reference that is new has to be added to
`REFERENCES`, or to those that are checked by their notation alone.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.config import config_group
from monitor.config.shapes import group_of, leaves
from monitor.daemon.selfcheck import references
from monitor.filters import compile_time
from monitor.settings.schema import Settings
from tests.unit.config.support import write

FILTER = "description: x\nfailregex: ['^refused <HOST>$']\nfiles: [/var/log/none.log]\n"
FAIL2BAN_FILTER = "[Definition]\nfailregex = ^refused <HOST>$\n"
JAIL = "[DEFAULT]\nfilter = app\nlogpath = /var/log/none.log\n[app]\nenabled = true\n"
LIMIT_S = 100


def _bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 34)


MAKE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "broken": lambda path: path.write_text("[\n: {a: b: c\n((\n"),
    "empty": Path.touch,
    "not UTF-8": lambda path: path.write_bytes(b"[app]\ndescription: \xff\xfe\nfailregex = \xff\n"),
    "a directory": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a socket": _bound_socket,
    "a link to itself": lambda path: path.symlink_to(path),
    "huge": _huge,
}
"""The states that must not pass."""

Prepare = Callable[[Path], tuple[str, Path]]
"""Writes what a reference needs below a directory; returns the configuration and the path that is referred to."""


def own_filter(root: Path) -> tuple[str, Path]:
    path = write(root, FILTER, "own.yaml")
    return f"detectors:\n  failures:\n    web:\n      filter: {path}\n", path


def fail2ban_filter(root: Path) -> tuple[str, Path]:
    path = write(root, FAIL2BAN_FILTER, "f2b/filter.d/app.conf")
    return f"detectors:\n  failures:\n    web:\n      filter: {path}\n      files: [/var/log/none.log]\n", path


def jail_file(name: str) -> Prepare:
    def prepare(root: Path) -> tuple[str, Path]:
        write(root, FAIL2BAN_FILTER, "f2b/filter.d/app.conf")
        write(root, JAIL, "f2b/jail.conf")
        path = write(root, "[app]\nmaxretry = 3\n", f"f2b/{name}")
        return f"detectors:\n  failures:\n  from_fail2ban: {root}/f2b\n", path

    return prepare


def filter_of_a_jail(root: Path) -> tuple[str, Path]:
    text, _ = jail_file("jail.local")(root)
    return text, root / "f2b/filter.d/app.conf"


def drop_in(root: Path) -> tuple[str, Path]:
    return "log: {level: info}\n", write(root, "log: {level: debug}\n", "conf.d/50-local.yaml")


def web_config(root: Path) -> tuple[str, Path]:
    path = write(root, "basic_auth_users: {}\n", "web.yaml")
    return f"metrics:\n  enabled: true\n  listen: 127.0.0.1:9843\n  web_config_file: {path}\n", path


def certificate(root: Path) -> tuple[str, Path]:
    command = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -keyout k.pem -out c.pem"
    subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
    text, path = web_config(root)
    path.write_text("tls_server_config: {cert_file: c.pem, key_file: k.pem}\n")
    return text, root / "c.pem"


def fleet_password(root: Path) -> tuple[str, Path]:
    path = write(root, "a secret\n", "secret")
    path.chmod(0o600)
    return f"fleet:\n  url: redis://127.0.0.1:6379\n  password_file: {path}\n", path


def fleet_tls_file(name: str) -> Prepare:
    def prepare(root: Path) -> tuple[str, Path]:
        certificate(root)
        (root / "k.pem").chmod(0o600)
        (root / "ca.pem").write_bytes((root / "c.pem").read_bytes())
        files = {"ca_file": root / "ca.pem", "cert_file": root / "c.pem", "key_file": root / "k.pem"}
        order = [name, *(one for one in files if one != name)]
        lines = "".join(f"  {one}: {files[one]}\n" for one in order)
        return f"fleet:\n  url: rediss://127.0.0.1:6379\n{lines}", files[name]

    return prepare


def crowdsec(key: str) -> Prepare:
    def prepare(root: Path) -> tuple[str, Path]:
        command = "openssl req -x509 -newkey ed25519 -nodes -subj /CN=x -keyout k.pem -out ca_file"
        subprocess.run(command.split(), cwd=root, check=True, capture_output=True)
        for secret in ("bouncer_key_file", "password_file"):
            write(root, "secret\n", secret).chmod(0o600)
        lines = [f"  {one}: {root}/{one}\n" for one in ("ca_file", "bouncer_key_file", "password_file")]
        lines.sort(key=lambda line: f"{key}:" not in line)
        text = "".join(["crowdsec:\n  url: https://127.0.0.1:8080\n  push: true\n", *lines, "  machine: web-1\n"])
        return text, root / key

    return prepare


REFERENCES: dict[str, tuple[Prepare, str, set[str]]] = {
    # what it is: how to make it, the place that a fault names, the states that are no fault
    "filter": (own_filter, "nodewarden.yaml:4:", set()),
    "filter of fail2ban": (fail2ban_filter, "nodewarden.yaml:4:", set()),
    "filter of a jail": (filter_of_a_jail, "nodewarden.yaml:3:", set()),
    "jail.d": (jail_file("jail.d/x.local"), "nodewarden.yaml:3:", {"missing", "empty"}),
    "jail.local": (jail_file("jail.local"), "nodewarden.yaml:3:", {"missing", "empty"}),
    "web configuration": (web_config, "nodewarden.yaml:4:", {"empty"}),
    "certificate": (certificate, "nodewarden.yaml:4:", set()),
    "password of the fleet": (fleet_password, "nodewarden.yaml:3:", {"broken"}),
    "authorities of the fleet": (fleet_tls_file("ca_file"), "nodewarden.yaml:3:", set()),
    "certificate of the fleet": (fleet_tls_file("cert_file"), "nodewarden.yaml:3:", set()),
    "key of the fleet": (fleet_tls_file("key_file"), "nodewarden.yaml:3:", set()),
    **{
        f"CrowdSec: {key}": (crowdsec(key), "nodewarden.yaml:4:", set[str]())
        for key in ("ca_file", "bouncer_key_file", "password_file")
    },
    "conf.d": (drop_in, "50-local.yaml", {"missing", "empty"}),
}


@contextmanager
def within(limit_s: int) -> Iterator[None]:
    """Fail if the block hangs, as a read of a FIFO does; it is a bound on a hang, not on speed."""

    def hung(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(limit_s)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(path: Path, *options: str) -> Result:
    """Run `nodewarden config check`."""
    with within(LIMIT_S):
        return CliRunner().invoke(config_group, ["check", "--config", str(path), *options])


@pytest.mark.parametrize("what", REFERENCES)
def test_what_is_sound_passes(tmp_path: Path, what: str) -> None:
    """Without a fault there is none."""
    text, _ = REFERENCES[what][0](tmp_path)
    result = check(write(tmp_path, text))
    assert (result.exit_code, result.exception) == (0, None), result.stderr


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("what", REFERENCES)
def test_each_state_of_each_reference(tmp_path: Path, what: str, name: str) -> None:
    """A fault names file and line of the setting and the path that it refers to, with exit code 2 and no traceback."""
    prepare, place, sound = REFERENCES[what]
    text, path = prepare(tmp_path)
    path.unlink()
    MAKE[name](path)
    result = check(write(tmp_path, text))
    if name in sound:
        assert result.exit_code == 0, result.stderr
        return
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    fault = next(line for line in result.stderr.splitlines() if not line.startswith("warning: "))
    assert place in fault
    assert path.name in fault


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_an_unreadable_filter_is_a_fault_for_the_service_user(tmp_path: Path) -> None:
    """Without the right to read a file the check says so, and names it."""
    text, path = own_filter(tmp_path)
    main = write(tmp_path, text)
    path.chmod(0)
    for parent in (tmp_path, *tmp_path.parents[:-2]):
        parent.chmod(0o755)
    os.seteuid(65534)
    try:
        result = check(main)
    finally:
        os.seteuid(0)
    assert result.exit_code == 2
    assert (
        f"nodewarden.yaml:4:15: detectors.failures.web.filter: {path} cannot be read: Permission denied"
        in result.stderr
    )


VALUES = {
    # a value that refers to something that is not there, or is something else: the fault or warning, and its place
    "detectors: {failures: {web: {filter: sshdd}}}": "1:38: detectors.failures.web.filter: there is no filter 'sshdd'",
    'detectors: {failures: {web: {filter: "sshd[mode=x]"}}}': "1:38: detectors.failures.web.filter: ",
    "detectors: {from_fail2ban: /nowhere}": "1:28: detectors.from_fail2ban: /nowhere: no jail.conf or jail.local",
    "detectors: {from_fail2ban_proven: [sshd, typo]}": "1:36: detectors.from_fail2ban_proven[0]: sshd is no jail",
    "detectors: {failures: {web: {filter: sshd, files: [/etc]}}}": "1:52: detectors.failures.web.files[0]: /etc is a",
    "detectors: {failures: {web: {filter: sshd, files: [/dev/null]}}}": "files[0]: /dev/null is a device",
    "control: {group: nobody-has-this}": "1:18: control.group: there is no group nobody-has-this",
    "control: {socket: /etc/passwd}": "1:19: control.socket: /etc/passwd exists and is no socket",
    "control: {socket: /etc/passwd/x}": "1:19: control.socket: /etc/passwd is not a directory",
    "state: {directory: /etc/passwd}": "1:20: state.directory: /etc/passwd is not a directory",
    "bans: {protect: {admin_groups: [root, typo-group]}}": "bans.protect.admin_groups: there is no group typo-group",
    "bans: {allowlist: [192.0.2.1, 0.0.0.0/0]}": "1:31: bans.allowlist[1]: 100 % of all IPv4 addresses",
    "fleet: {url: 'rediss://h', cert_file: /etc/hostname}": "1:39: fleet.cert_file: needs fleet.key_file as well",
    "fleet: {url: 'rediss://h', key_file: /etc/hostname}": "1:38: fleet.key_file: needs fleet.cert_file as well",
    "fleet: {url: 'redis://h', ca_file: /etc/hostname}": "1:36: fleet.ca_file: is not used, since fleet.url has no",
    "lists: {own: {file: /etc}}": "1:21: lists.own.file: /etc is a directory: a list is a regular file",
    'bans: {allowlist: ["2000::/4", "3000::/4"]}': "1:20: bans.allowlist[0]: 100 % of all IPv6 addresses",
}
WARNINGS = {
    "detectors: {failures: {web: {filter: sshd, files: [/var/log/none-*.log]}}}": "files[0]: /var/log/none-",
    "bans: {xdp: {interfaces: [none0]}}": "1:27: bans.xdp.interfaces[0]: there is no interface none0",
    "metrics: {listen: '192.0.2.1:9843'}": "1:19: metrics.listen: 192.0.2.1 is no address of this machine",
    "metrics: {listen: '127.0.0.1:80'}": "1:19: metrics.listen: the service may not listen on port 80",
    "lists: {own: {file: /nowhere.txt}}": "1:21: lists.own.file: /nowhere.txt does not exist now",
    "lists: {own: {url: 'http://lists.example.org/a'}}": "1:20: lists.own.url: is not encrypted",
    "audit: {baseline: /nowhere.json}": "1:19: audit.baseline: /nowhere.json does not exist now",
    "audit: {kube_bench: /nowhere.json}": "1:21: audit.kube_bench: /nowhere.json does not exist now",
    "fleet: {url: 'redis://redis.example.org'}": "1:14: fleet.url: is not encrypted",
    "fleet: {url: 'redis+sentinel://127.0.0.1,192.0.2.1/main'}": "1:14: fleet.url: is not encrypted",
    "sources: {kernel_log: {enabled: false}, conntrack: {enabled: false}}": "host_sweep",
}


@pytest.mark.parametrize("text", VALUES)
def test_what_a_value_refers_to_is_there(tmp_path: Path, text: str) -> None:
    """A value that names nothing, or the wrong thing, is a fault with its place."""
    result = check(write(tmp_path, text))
    assert result.exit_code == 2, result.output
    assert VALUES[text] in result.stderr


@pytest.mark.parametrize("text", WARNINGS)
def test_what_can_appear_later_is_a_warning(tmp_path: Path, text: str) -> None:
    """It is said, and a fault only with --strict."""
    result = check(write(tmp_path, text))
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("warning: ")
    assert WARNINGS[text] in result.stderr
    assert check(write(tmp_path, text), "--strict").exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "fleet: {url: 'redis://[::1]:6379'}",
        "fleet: {url: 'unix:///run/redis/redis.sock'}",
        "lists: {own: {url: 'http://localhost/a'}}",
        "lists: {own: {url: 'https://lists.example.org/a'}}",
    ],
)
def test_what_stays_on_this_machine_needs_no_encryption(tmp_path: Path, text: str) -> None:
    """Loopback and sockets are as good as TLS, and so is TLS."""
    assert "encrypted" not in check(write(tmp_path, text)).stderr


def test_a_jail_to_be_proven_that_does_not_run_is_explained(tmp_path: Path) -> None:
    """A section of that name takes precedence, or the name is misspelt."""
    write(tmp_path, FAIL2BAN_FILTER, "f2b/filter.d/app.conf")
    write(tmp_path, JAIL.replace("[app]", "[web]\nenabled = true\n[app]"), "f2b/jail.conf")
    jails = f"detectors:\n  from_fail2ban: {tmp_path}/f2b\n  from_fail2ban_proven: [web, ap]\n"
    main = write(tmp_path, f"{jails}  failures: {{web: {{filter: nginx-scan}}}}\n")
    result = check(main)
    assert result.exit_code == 2
    assert "web is no jail that runs here: detectors.failures.web takes precedence" in result.stderr
    assert "ap is no jail that runs here; did you mean app?" in result.stderr


def test_a_detector_without_a_log_is_a_warning(tmp_path: Path) -> None:
    """Where the section names no log, and none that its filter names is there, the check says so before `status`."""
    path = write(tmp_path, FILTER.replace("/var/log/none.log", f"{tmp_path}/none.log"), "own.yaml")
    main = write(tmp_path, f"detectors: {{failures: {{web: {{filter: {path}, backend: files}}}}}}\n")
    done = CliRunner().invoke(config_group, ["check", "--config", str(main)])
    said = f"detectors.failures.web.filter: finds nothing now: no file matches {tmp_path}/none.log"
    assert (done.exit_code, said in done.output) == (0, True), done.output


def test_a_unit_that_does_not_exist_is_a_warning(tmp_path: Path) -> None:
    """Units and instances of templates are looked for where systemd keeps them."""
    for directory in ("run/systemd/system", "etc/systemd/system"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "etc/systemd/system/web.service").touch()
    (tmp_path / "etc/systemd/system/app@.service").touch()
    known = [references._is_unit(name, tmp_path) for name in ("web.service", "app@one.service", "typo.service")]
    assert known == [True, True, False]


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("(?i)" + r"[\x00-\U0010fff0]" * 2000 + "<HOST>", id="characters"),
        pytest.param("(" * 3000 + "<HOST>" + ")" * 3000, id="depth"),
        pytest.param("a" * 70_000 + "<HOST>", id="length"),
    ],
)
def test_an_expression_that_takes_minutes_to_compile_is_a_fault(
    tmp_path: Path, expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check ends soon, and says which filter it is."""
    monkeypatch.setattr(compile_time, "ONE_S", 0.2)
    text, path = own_filter(tmp_path)
    path.write_text(f"description: x\nfailregex:\n  - '{expression}'\nfiles: [/var/log/none.log]\n")
    result = check(write(tmp_path, text))
    assert result.exit_code == 2, result.output
    assert "nodewarden.yaml:4:15: detectors.failures.web.filter: filter own" in result.stderr


def test_an_expression_with_a_fault_has_its_line(tmp_path: Path) -> None:
    """In YAML and in fail2ban's notation the line of the expression is named, and that of an unknown key."""
    text, path = own_filter(tmp_path)
    main = write(tmp_path, text)
    path.write_text(
        'description: x\nfailregex:\n  - "^\\\\d <HOST>$"\n  - "^(\\\\s <HOST>$"\nfiles: [/var/log/none.log]\n'
    )
    assert f"filter own ({path}:4): not a valid regular expression" in check(main).stderr
    path.write_text("description: x\nfailregexp: []\n")
    assert f"{path}:2: Object contains unknown field `failregexp`" in check(main).stderr
    path.write_text("description: x\nfailregex: [\n")
    assert f"{path}:3:1 is not YAML" in check(main).stderr
    text, path = fail2ban_filter(tmp_path)
    path.write_text("[Definition]\nfailregex = ^a <HOST>$\n            ^(b <HOST>$\n")
    assert f"({path}:3): not a valid regular expression" in check(write(tmp_path, text)).stderr


def test_what_a_filter_refers_to_is_there(tmp_path: Path) -> None:
    """A journal match that is none is a fault, although files are read; an account that does not exist is a warning."""
    text, path = own_filter(tmp_path)
    main = write(tmp_path, text)
    path.write_text(FILTER + "journalmatch: ['_COMM=a + ']\n")
    result = check(main)
    assert result.exit_code == 2
    assert f"nodewarden.yaml:4:15: detectors.failures.web.filter: {path}: journal match" in result.stderr
    path.write_text(
        FILTER + "evidence: proven\nwriters: {accounts: [nobody-has-this]}\ndirect_files: [/var/log/x.log]\n"
    )
    result = check(main)
    assert result.exit_code == 0
    assert f"detectors.failures.web.filter: {path}: there is no account nobody-has-this" in result.stderr


CHECKED_BY_NOTATION = {
    "bans.presets": "the presets are built in",
    "detectors.failures.sshd.timezone": "a name of tzdata, looked up when it is read",
    "crowdsec.url": "LAPI may be away when the configuration is read",
    **{f"crowdsec.{name}": "a word of CrowdSec" for name in ("machine", "origins", "set")},
    "audit.report": "it is there after the first audit",
    "audit.suppressions": "it need not be there",
    "fleet.url": "a server may be away when the configuration is read",
    **{f"fleet.{name}": "a word of the fleet" for name in ("name", "node", "role", "share", "username", "adopt_roles")},
}


def test_no_setting_that_refers_to_something_is_left_out() -> None:
    """Each setting of text is tried above, is a notation of its own, or refers to nothing."""
    files = ("web_config", "password", "ca", "cert", "key", "bouncer_key")
    tried = "\n".join((*VALUES, *WARNINGS, *(f"{name}_file: see REFERENCES" for name in files)))
    nothing = {"action", "backend", "evidence", "mode", "level", "format", "allowlist", "approved", "sources",
               "networks", "overlay_peers", "prefixes", "ignore_prefixes", "ports", "ban_ports", "ephemeral_ports",
               "journalmatch", "pods", "findtime", "maxretry", "scrapers"}  # fmt: skip
    left = [
        path
        for path, value in leaves(group_of(Settings), Settings())
        if isinstance(value, str | list)
        and path not in CHECKED_BY_NOTATION
        and not str(value)[:1].isdigit()
        and (key := path.rpartition(".")[2]) not in nothing
        and f"{key}:" not in tried
    ]
    assert left == ["bans.increment.multipliers"]
