"""Which pod has an address or a network namespace, by files as libcni leaves them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.files.changes import read_bounded
from monitor.model.addresses import parse_address
from monitor.model.errors import MalformedRecord
from monitor.model.pods import MAX_ATTACHMENTS, REMEMBERED_S, Pod, Pods, PodTable
from monitor.node.cni_results import parse_result
from monitor.node.pods import MAX_FILE_BYTES, RESULT_DIRECTORIES, PodReader

WEB = Pod("shop", "web-7d9f8-x2k4p")


def result(pod: Pod = WEB, addresses: tuple[str, ...] = ("10.244.3.7/24",), **changed: Any) -> dict[str, Any]:
    """Return a result as containerd's libcni 1.2 writes it; `changed` replaces keys."""
    return {
        "kind": "cniCacheV1",
        "containerId": "ab" * 32,
        "config": "e30=",
        "ifName": "eth0",
        "networkName": "cbr0",
        "netns": "/var/run/netns/cni-1b2c",
        "cniArgs": [
            ["IgnoreUnknown", "1"],
            ["K8S_POD_NAMESPACE", pod.namespace],
            ["K8S_POD_NAME", pod.name],
            ["K8S_POD_UID", "f0bf"],
        ],
        "result": {
            "cniVersion": "1.0.0",
            "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/var/run/netns/cni-sandbox"}],
            "ips": [{"interface": 1, "address": one, "gateway": "10.244.3.1"} for one in addresses],
        },
    } | changed


def write(root: Path, name: str, document: object, directory: Path = RESULT_DIRECTORIES[0]) -> Path:
    """Write one result below a root; return its path."""
    path = root / directory.relative_to("/") / f"cbr0-{name}-eth0"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def address(text: str) -> bytes:
    """Return an address."""
    return parse_address(text)


def test_a_result_names_pod_addresses_and_namespace() -> None:
    """Both families of a pod, and the namespace that the runtime gave; /var/run is /run."""
    found = parse_result(json.dumps(result(addresses=("10.244.3.7/24", "fd00:10:244::7/64"))))
    assert found is not None
    assert found.pod == WEB
    assert str(found.pod) == "shop/web-7d9f8-x2k4p"
    assert found.addresses == (address("10.244.3.7"), address("fd00:10:244::7"))
    assert found.netns == "/run/netns/cni-1b2c"


@pytest.mark.parametrize(("changed", "netns"), [
    ({"netns": None}, "/run/netns/cni-sandbox"),
    ({"netns": "/proc/4711/ns/net"}, "/run/netns/cni-sandbox"),
    ({"netns": "/run/docker/netns/0a1b"}, "/run/docker/netns/0a1b"),
    ({"netns": "/run/netns/../../etc/passwd", "result": {}}, ""),
    ({"netns": "/run/netns/..", "result": {}}, ""),
    ({"netns": "/run/netns/a\0b", "result": {}}, ""),
    ({"netns": ["/run/netns/a"], "result": []}, ""),
])  # fmt: skip
def test_only_files_of_namespaces_are_taken(changed: dict[str, Any], netns: str) -> None:
    """Older libcni gives only the plug-in's sandbox; other paths are no namespaces that this process sees."""
    found = parse_result(json.dumps(result(**changed)))
    assert found is not None
    assert found.netns == netns


def test_addresses_of_old_plugins_are_read() -> None:
    """CNI 0.2.0 has `ip4` and `ip6`; a result without any address still names the namespace."""
    found = parse_result(json.dumps(result(result={"ip4": {"ip": "10.1.0.2/16"}, "ip6": {"ip": "fd00::2/64"}})))
    assert found is not None
    assert found.addresses == (address("10.1.0.2"), address("fd00::2"))
    bare = parse_result(json.dumps(result(result={})))
    assert bare is not None
    assert (bare.addresses, bare.netns) == ((), "/run/netns/cni-1b2c")


def test_a_container_that_is_no_pod_is_nobody() -> None:
    """podman and nerdctl use the same files."""
    assert parse_result(json.dumps(result(cniArgs=[["IgnoreUnknown", "1"]]))) is None


@pytest.mark.parametrize(("changed", "cause"), [
    ({"kind": "cniCacheV2"}, "format"),
    ({"cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", 'a"} evil{'], ["K8S_POD_NAME", "b"]]}, "name"),
    ({"cniArgs": [["K8S_POD_NAMESPACE", "../x"], ["K8S_POD_NAME", "a"]]}, "name"),
    ({"cniArgs": [["K8S_POD_NAMESPACE", "s" * 64], ["K8S_POD_NAME", "a"]]}, "name"),
    ({"cniArgs": [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", "web\n"]]}, "name"),
    ({"result": {"ips": [{"address": "300.1.1.1/8"}]}}, "address"),
])  # fmt: skip
def test_what_cannot_be_is_refused(changed: dict[str, Any], cause: str) -> None:
    """Names become labels of metrics and lines of logs: only what Kubernetes allows is taken."""
    with pytest.raises(MalformedRecord) as raised:
        parse_result(json.dumps(result(**changed)))
    assert raised.value.cause == cause


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(result())), json_values)
def test_a_changed_result_is_read_or_refused(key: str, value: object) -> None:
    """Whatever stands there instead, nothing else is raised, and names stay names."""
    try:
        found = parse_result(json.dumps({**result(), key: value}))
    except MalformedRecord:
        return
    if found is not None:
        assert found.pod == WEB


def test_pods_come_change_and_go(tmp_path: Path) -> None:
    """Files of both directories count, the latest one of an address; a pod that ended is remembered, for a while."""
    reader, known = PodReader(tmp_path), Pods()
    first = write(tmp_path, "one", result())
    write(tmp_path, "two", result(Pod("db", "pg-0"), ("10.244.3.8/24",)), RESULT_DIRECTORIES[1])
    known.take(reader.read(), 0.0)
    assert known.pod_of(address("10.244.3.7")) == "shop/web-7d9f8-x2k4p"
    assert known.pod_of(address("10.244.3.8")) == "db/pg-0"
    assert known.pod_of(address("10.244.3.9")) is None
    first.unlink()
    known.take(reader.read(), 10.0)
    assert known.pod_of(address("10.244.3.7")) == "shop/web-7d9f8-x2k4p"
    os.utime(write(tmp_path, "three", result(Pod("shop", "api-0"))), ns=(1, 1))
    known.take(reader.read(), 20.0)
    assert known.pod_of(address("10.244.3.7")) == "shop/api-0"  # who has it now, not who had it
    write(tmp_path, "four", result(Pod("shop", "api-1")))
    known.take(reader.read(), 30.0)
    assert known.pod_of(address("10.244.3.7")) == "shop/api-1"
    known.take(PodTable(), 40.0)
    known.take(PodTable(), 40.0 + REMEMBERED_S)
    assert known.pod_of(address("10.244.3.7")) == "shop/api-1"
    known.take(PodTable(), 41.0 + REMEMBERED_S)
    assert known.pod_of(address("10.244.3.7")) is None


def test_files_that_did_not_change_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading of 200 pods opens only what is new."""
    for number in range(200):
        write(tmp_path, str(number), result(Pod("shop", f"web-{number}"), (f"10.244.3.{number}/24",)))
    opened: list[Path] = []

    def note(path: Path, limit_bytes: int) -> bytes | None:
        opened.append(path)
        return read_bounded(path, limit_bytes)

    monkeypatch.setattr("monitor.node.pods.read_bounded", note)
    reader = PodReader(tmp_path)
    assert len(reader.read().by_address) == len(opened) == 200
    new = write(tmp_path, "new", result(Pod("shop", "new"), ("10.244.4.1/24",)))
    assert len(reader.read().by_address) == 201
    assert opened[200:] == [new]


def test_what_is_no_namespace_is_none(tmp_path: Path) -> None:
    """An empty file is what a mount leaves that this process does not see; the node's own namespace is no pod's."""
    directory = tmp_path / "run/netns"
    directory.mkdir(parents=True)
    (directory / "cni-1b2c").touch()
    write(tmp_path, "one", result())
    table = PodReader(tmp_path).read()
    assert table.by_netns == {}
    assert "HostToContainer" in " ".join(table.notices)
    (directory / "cni-1b2c").unlink()
    (directory / "cni-1b2c").symlink_to("/proc/self/ns/net")
    assert PodReader(tmp_path).read().by_netns == {}


def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """Huge files, links to devices, other formats, files that are directories: one notice, and other pods are named."""
    write(tmp_path, "good", result())
    huge = write(tmp_path, "huge", result())
    huge.write_text(" " * (MAX_FILE_BYTES + 1))
    write(tmp_path, "list", [])
    (huge.parent / "directory").mkdir()
    os.mkfifo(huge.parent / "fifo")
    latest = os.fsencode(huge.parent) + b"/\xff\x1b[2J"
    os.mkfifo(latest)
    os.utime(latest, (2e9, 2e9))
    table = PodReader(tmp_path).read()
    assert set(table.by_address.values()) == {WEB}
    assert table.notices[0].startswith("5 results of CNI name no pod")
    assert r"\udcff\x1b[2J: no permission" in table.notices[0]


def test_more_pods_than_fit_are_reported(tmp_path: Path) -> None:
    """The bound on memory, and on what is remembered of pods that ended."""
    directory = tmp_path / RESULT_DIRECTORIES[0].relative_to("/")
    directory.mkdir(parents=True)
    source = write(tmp_path, "source", result())
    for number in range(MAX_ATTACHMENTS + 1):
        (directory / f"link-{number}").hardlink_to(source)
    table = PodReader(tmp_path).read()
    assert any("beyond" in notice for notice in table.notices)
    known = Pods()
    known.take(PodTable(by_netns=dict.fromkeys(range(3 * MAX_ATTACHMENTS), WEB)), 0.0)
    known.take(PodTable(), 1.0)
    assert sum(known.pod_of_netns(number) is not None for number in range(3 * MAX_ATTACHMENTS)) == MAX_ATTACHMENTS
    assert known.living == 0


def test_of_too_many_results_the_latest_are_read(tmp_path: Path) -> None:
    """Runtimes leave files of pods that are gone: thousands of them do not hide the pods of today."""
    stale = write(tmp_path, "stale", result(Pod("old", "gone")))
    os.utime(stale, (1e9, 1e9))
    for number in range(MAX_ATTACHMENTS + 50):
        (stale.parent / f"0-stale-{number}").hardlink_to(stale)
    pods = [Pod("shop", f"web-{number}") for number in range(50)]
    for number, one in enumerate(pods):
        write(tmp_path, f"new-{number}", result(one, (f"10.244.3.{number + 100}/24",)), RESULT_DIRECTORIES[number % 2])
    table = PodReader(tmp_path).read()
    assert set(table.by_address.values()) >= set(pods)
    assert any("those with the oldest results" in notice for notice in table.notices)


def test_an_unreadable_directory_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libcni keeps it for root: without the capability to read it, status says why pods have no names."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("monitor.node.pods.os.scandir", refuse)
    assert "Permission denied" in PodReader(tmp_path).read().notices[0]
