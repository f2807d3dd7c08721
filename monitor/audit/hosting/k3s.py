"""How k3s runs kubelet, API server and etcd, all in one process.

k3s overwrites its command line, which may hold secrets, so /proc shows `k3s server` only (pkg/cli/server/server.go).
What it was started with is in its configuration files and in its systemd unit; a k3s without a unit has a gap. Its
defaults are stricter than those of Kubernetes: no anonymous requests, Node and RBAC, NodeRestriction
(pkg/daemons/control/server.go), and the kubelet's are in drop-ins that it writes (pkg/daemons/agent/agent_linux.go).
rke2 runs the same programs as processes of their own, which are read as any others.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from monitor.audit.host import Process, Program, ProgramKind
from monitor.audit.hosting.etcd import read_etcd
from monitor.audit.hosting.flags import read_flags
from monitor.audit.hosting.kubelet import FIELDS
from monitor.audit.hosting.reader import Reader, Unreadable
from monitor.audit.hosting.settings import scalars, set_by
from monitor.node.documents import as_texts

_CONFIG = "/etc/rancher/k3s/config.yaml"
_UNITS = (
    "/etc/systemd/system/{}.service",
    "/usr/lib/systemd/system/{}.service",
    "/usr/local/lib/systemd/system/{}.service",
)
_DATA = "/var/lib/rancher/k3s"
_EXEC_START = re.compile(r"^ExecStart=[-@:+!]*(.*?)(?<!\\)$", re.MULTILINE | re.DOTALL)
_MAX_WORDS = 1024
_LISTS = ("kubelet-arg", "kube-apiserver-arg", "etcd-arg")
_KEYS = (*_LISTS, "data-dir", "datastore-endpoint", "datastore-cafile", "datastore-certfile", "datastore-keyfile")
_SWITCHES = ("disable-agent", "disable-apiserver", "disable-etcd")
_KUBELET = {
    "anonymous-auth": "false",
    "authorization-mode": "Webhook",
    "make-iptables-util-chains": "true",
    "read-only-port": "0",
}
_APISERVER = {
    "anonymous-auth": "false", "authorization-mode": "Node,RBAC", "enable-admission-plugins": "NodeRestriction",
}  # fmt: skip
_ETCD_FILES = ("etcd-cafile", "etcd-certfile", "etcd-keyfile")
_Values = dict[str, list[str]]


class _Started(msgspec.Struct):
    """What k3s was started with, from files and unit."""

    values: _Values
    gap: str = ""
    locations: list[str] = msgspec.field(default_factory=list)

    def first(self, name: str, default: str = "") -> str:
        return self.values.get(name, [default])[-1]

    def has(self, switch: str) -> bool:
        return self.first(switch, "false").lower() not in ("false", "0", "")


def role_of(process: Process) -> str:
    """Return `server` or `agent` for a k3s that runs a node; empty for any other process."""
    words = process.arguments[0].split(" ") + list(process.arguments[1:]) if process.arguments else []
    is_k3s = bool(words) and words[0].rpartition("/")[2] == "k3s"
    return words[1] if is_k3s and len(words) > 1 and words[1] in ("server", "agent") else ""


def read_k3s(process: Process, reader: Reader) -> Iterator[Program]:
    """Yield the programs that a k3s runs in its own process; never raises."""
    role = role_of(process)
    started = _started(process, reader, role)
    data = started.first("data-dir", _DATA).rstrip("/")
    location = next(iter(started.locations), _CONFIG)
    if not started.has("disable-agent") or role == "agent":
        yield _kubelet(started, reader, data, location)
    if role == "server" and not started.has("disable-apiserver"):
        yield _apiserver(started, data, location)
    if role == "server" and not started.has("disable-etcd"):
        config = f"{data}/server/db/etcd/config"
        try:
            reader.text(config)
        except Unreadable:
            return  # k3s keeps its objects elsewhere, as it does unless it is one of several servers
        yield read_etcd([f"--config-file={config}"], {}, reader)


def _kubelet(started: _Started, reader: Reader, data: str, location: str) -> Program:
    settings = set_by({**_KUBELET, "client-ca-file": f"{data}/agent/client-ca.crt"} if not started.gap else {})
    gap = started.gap
    try:
        paths = reader.tree(f"{data}/agent/etc/kubelet.conf.d", ".conf")
    except Unreadable:
        paths = []  # an older k3s gives all settings as flags
    try:
        for path in paths:
            settings |= set_by(scalars(reader.document(path), FIELDS), path)
    except Unreadable as unreadable:
        settings, gap = {}, str(unreadable)
    settings |= set_by(_flags(ProgramKind.KUBELET, started.values.get("kubelet-arg", [])), location)
    return Program(kind=ProgramKind.KUBELET, subject="kubelet", settings=settings, gap=gap, location=location)


def _apiserver(started: _Started, data: str, location: str) -> Program:
    defaults = {**_APISERVER, "client-ca-file": f"{data}/server/tls/client-ca.crt", **_datastore(started, data)}
    given = _flags(ProgramKind.APISERVER, started.values.get("kube-apiserver-arg", []))
    settings = set_by({} if started.gap else defaults) | set_by(given, location)
    kind = ProgramKind.APISERVER
    return Program(kind=kind, subject=kind.value, settings=settings, gap=started.gap, location=location)


def _datastore(started: _Started, data: str) -> Mapping[str, str]:
    """Return how the API server reaches etcd: an embedded one always with TLS, a database by a socket of k3s."""
    endpoint = started.first("datastore-endpoint")
    if endpoint.startswith(("http://", "https://")):
        files = {flag: started.first(f"datastore-{flag.removeprefix('etcd-')}") for flag in _ETCD_FILES}
        return {"etcd-servers": endpoint, **{flag: path for flag, path in files.items() if path}}
    return {"etcd-servers": f"unix://{data}/server/kine.sock" if endpoint else "unix://kine.sock or an embedded etcd"}


def _flags(kind: ProgramKind, arguments: Sequence[str]) -> dict[str, str]:
    """Return flags that are given to k3s without their dashes, as `anonymous-auth=false`."""
    return read_flags(kind, [f"--{argument.lstrip('-')}" for argument in arguments])


def _started(process: Process, reader: Reader, role: str) -> _Started:
    words = list(process.arguments[1:])
    started = _Started({})
    from_unit = words if len(words) > 1 else _from_unit(reader, role, started)
    given = _read_words(from_unit)
    config = given.pop("config", [_CONFIG])[-1]
    _add_files(started, reader, config)
    for name, values in given.items():
        started.values[name] = started.values.get(name, []) + values if name in _LISTS else values
    return started


def _from_unit(reader: Reader, role: str, started: _Started) -> list[str]:
    name = "k3s" if role == "server" else "k3s-agent"
    for template in _UNITS:
        path = template.format(name)
        try:
            text = reader.text(path)
        except Unreadable:
            continue
        commands = _EXEC_START.findall(text)
        try:
            words = shlex.split((commands or [""])[-1].replace("\\\n", " "))[:_MAX_WORDS]
        except ValueError:
            break
        if words:
            started.locations.append(path)
            return words[1:]
    started.gap = f"k3s hides its command line, and no unit {name}.service has it"
    return []


def _add_files(started: _Started, reader: Reader, config: str) -> None:
    try:
        paths = reader.names(f"{config}.d", (".yaml", ".yml"))
    except Unreadable:
        paths = []
    for path in (config, *paths):
        try:
            reader.text(path)
        except Unreadable:
            continue  # k3s needs no file; one that is there is read, or is a gap
        try:
            _add_document(started.values, reader.document(path))
            started.locations.insert(0, path)
        except Unreadable as unreadable:
            started.gap = str(unreadable)


def _add_document(values: _Values, document: Mapping[Any, Any]) -> None:
    for key, value in document.items():
        name = key.rstrip("+") if isinstance(key, str) else ""
        if name in _LISTS:
            items = value if isinstance(value, list) else [value]
            texts = [item for item in items if isinstance(item, str)]
            values[name] = values.get(name, []) + texts if key.endswith("+") else texts
        elif name in (*_KEYS, *_SWITCHES) and as_texts(value):
            values[name] = [as_texts(value)[0] if name != "datastore-endpoint" else str(value)]


def _read_words(words: Sequence[str]) -> _Values:
    """Return what a command line sets of what matters here."""
    found: _Values = {}
    waiting = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            known = name in (*_KEYS, *_SWITCHES, "config")
            if known and (equals or name in _SWITCHES):
                found.setdefault(name, []).append(value if equals else "true")
            waiting = name if known and not equals and name not in _SWITCHES else ""
        elif waiting:
            found.setdefault(waiting, []).append(word)
            waiting = ""
    return found
