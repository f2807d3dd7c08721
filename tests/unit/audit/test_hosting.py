"""Programs of a node, found by their processes, with the settings that are in force."""

import threading
from pathlib import Path

import pytest

from monitor.audit.host import Host, Program, ProgramKind
from monitor.audit.hosting import gathering, processes, reader
from monitor.audit.hosting.flags import read_flags
from monitor.audit.hosting.gathering import gather_host
from tests.support.fake_node import FakeNode

CONFIG = "/var/lib/kubelet/config.yaml"
KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/kubernetes/manifests
authentication: {x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}
"""


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """Return a node that runs nothing of Kubernetes."""
    return FakeNode(tmp_path)


def only(host: Host, kind: ProgramKind) -> Program:
    """Return the one program of a kind."""
    (program,) = host.of(kind)
    return program


def values(program: Program, *names: str) -> list[str]:
    """Return values of settings."""
    return [program.value(name) for name in names]


SECURITY = ("anonymous-auth", "authorization-mode", "read-only-port", "client-ca-file")


def test_a_kubelet_without_a_file_has_the_open_defaults_of_its_flags(node: FakeNode) -> None:
    """Anonymous requests, everything allowed, and port 10255."""
    node.run("/usr/bin/kubelet", "--kubeconfig", "/etc/kubernetes/kubelet.conf")
    kubelet = only(gather_host(node.root), ProgramKind.KUBELET)
    assert values(kubelet, *SECURITY) == ["true", "AlwaysAllow", "10255", ""]
    assert kubelet.settings["anonymous-auth"].is_default


def test_a_kubelet_with_a_file_has_the_closed_defaults_of_the_file(node: FakeNode) -> None:
    """What the file leaves out is as in KubeletConfiguration v1beta1; what it sets has the file as its place."""
    node.write(CONFIG, KUBELET)
    node.run("/usr/bin/kubelet", f"--config={CONFIG}")
    kubelet = only(gather_host(node.root), ProgramKind.KUBELET)
    assert values(kubelet, *SECURITY) == ["false", "Webhook", "0", "/etc/kubernetes/pki/ca.crt"]
    assert kubelet.where("client-ca-file") == kubelet.where("anonymous-auth") == CONFIG


def test_flags_win_over_drop_ins_and_drop_ins_over_the_file(node: FakeNode) -> None:
    """Drop-ins count in the order of their names, and only those that end in .conf."""
    node.write(CONFIG, KUBELET + "readOnlyPort: 1\n")
    node.write("/etc/kubelet.d/10-a.conf", "readOnlyPort: 2\nauthorization: {mode: AlwaysAllow}\n")
    node.write("/etc/kubelet.d/20-b.conf", "readOnlyPort: 3\nauthentication: {anonymous: {enabled: true}}\n")
    node.write("/etc/kubelet.d/30-c.conf.bak", "readOnlyPort: 4\n")
    node.run(
        "/usr/bin/kubelet", "--config", CONFIG, "--config-dir", "/etc/kubelet.d", "--anonymous-auth=false", "--v=2"
    )
    kubelet = only(gather_host(node.root), ProgramKind.KUBELET)
    assert values(kubelet, *SECURITY[:3]) == ["false", "AlwaysAllow", "3"]
    assert kubelet.where("read-only-port") == "/etc/kubelet.d/20-b.conf"
    assert kubelet.where("anonymous-auth") == ""
    assert kubelet.where("make-iptables-util-chains") == CONFIG


def test_drop_ins_are_found_as_the_kubelet_finds_them(node: FakeNode) -> None:
    """Below directories, in hidden files and behind links, in the order of their paths."""
    node.write("/etc/kubelet.d/10/z.conf", "readOnlyPort: 2\nmakeIPTablesUtilChains: false\n")
    node.write("/etc/kubelet.d/.a.conf", "readOnlyPort: 1\nauthorization: {mode: AlwaysAllow}\n")
    node.write("/elsewhere/b", "authentication: {anonymous: {enabled: true}}\n")
    (node.root / "etc/kubelet.d/20.conf").symlink_to("/elsewhere/b")
    node.write(CONFIG, KUBELET)
    node.run("/usr/bin/kubelet", f"--config={CONFIG}", "--config-dir=/etc/kubelet.d/")
    kubelet = only(gather_host(node.root), ProgramKind.KUBELET)
    assert not kubelet.gap
    assert values(kubelet, *SECURITY[:3], "make-iptables-util-chains") == ["true", "AlwaysAllow", "2", "false"]


def test_directories_without_an_end_are_a_gap(node: FakeNode) -> None:
    """Too deep or too many of them: nothing is taken for a default."""
    node.run("/usr/bin/kubelet", "--config-dir=/deep")
    node.run("/usr/bin/kubelet", "--config-dir=/wide")
    (node.root / "deep/1/2/3/4/5/6/7/8/9/10").mkdir(parents=True)
    for number in range(400):
        (node.root / f"wide/{number}/x").mkdir(parents=True)
    deep, wide = gather_host(node.root).programs
    assert "deep" in deep.gap
    assert "too many directories" in wide.gap


def test_flags_are_read_as_go_reads_them() -> None:
    """A switch takes no value from the next word, other flags do, and `--a=` is empty."""
    flags = read_flags(ProgramKind.ETCD, ["--client-cert-auth", "false", "-name", "one", "--cert-file=", "--key-file"])
    assert flags == {"client-cert-auth": "true", "name": "one", "cert-file": "", "key-file": "true"}


def test_drop_ins_alone_keep_the_defaults_of_flags(node: FakeNode) -> None:
    """They are merged into what the flags start from."""
    node.write("/etc/kubelet.d/10-a.conf", "authorization: {mode: Webhook}\n")
    node.run("/usr/bin/kubelet", "--config-dir=/etc/kubelet.d")
    assert values(only(gather_host(node.root), ProgramKind.KUBELET), *SECURITY[:2]) == ["true", "Webhook"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xff\x00\x01", "yaml"),
        (b"a: &a [x]\nb: *a\n", "aliases"),
        (b"[" * 100, "deep"),
        (b"x: y\n" * 300_000, "larger"),
        (b"- a\n" * 30_000, "parts"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_gap(node: FakeNode, content: bytes | None, why: str) -> None:
    """Nothing is taken for a default then, and flags still count."""
    if content is not None:
        node.write(CONFIG, content)
    node.run("/usr/bin/kubelet", f"--config={CONFIG}", "--read-only-port=10255")
    kubelet = only(gather_host(node.root), ProgramKind.KUBELET)
    assert why in kubelet.gap
    assert values(kubelet, *SECURITY) == ["", "", "10255", ""]


def test_a_file_of_another_shape_is_read_as_far_as_it_goes(node: FakeNode) -> None:
    """Lists where mappings belong set nothing."""
    node.write(CONFIG, "authentication: [anonymous]\nauthorization: text\nreadOnlyPort: {a: b}\n")
    node.run("/usr/bin/kubelet", f"--config={CONFIG}")
    assert values(only(gather_host(node.root), ProgramKind.KUBELET), *SECURITY) == ["false", "Webhook", "0", ""]


def test_a_kubelet_in_a_container_is_read_in_its_own_root(node: FakeNode) -> None:
    """Its file is the container's, even where the node has one at the same path."""
    node.write(CONFIG, "readOnlyPort: 1\n")
    node.write(f"/containers/one{CONFIG}", "readOnlyPort: 2\n")
    node.contain(node.run("/usr/bin/kubelet", f"--config={CONFIG}"), "/containers/one")
    assert only(gather_host(node.root), ProgramKind.KUBELET).value("read-only-port") == "2"


def test_an_api_server_is_read_from_its_command_line_and_found_in_its_manifest(node: FakeNode) -> None:
    """The process says what is in force, the manifest where to change it; a list flag that is repeated adds up."""
    node.write(CONFIG, KUBELET)
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    node.write(manifest, "spec: {containers: [{command: [kube-apiserver]}]}\n")
    node.run("/usr/bin/kubelet", f"--config={CONFIG}")
    modes = ["--authorization-mode=Node", "--authorization_mode=RBAC"]
    node.run("kube-apiserver", *modes, "--anonymous-auth", "--etcd-servers", "https://127.0.0.1:2379")
    server = only(gather_host(node.root), ProgramKind.APISERVER)
    assert values(server, "authorization-mode", "anonymous-auth") == ["Node,RBAC", "true"]
    assert server.value("etcd-servers") == "https://127.0.0.1:2379"
    assert server.where("anonymous-auth") == manifest


def test_a_static_pod_stands_for_a_program_that_does_not_run(node: FakeNode) -> None:
    """Its command and arguments are read; an unreadable manifest and other pods are left out."""
    manifests = "/etc/kubernetes/manifests"
    node.write(CONFIG, KUBELET)
    node.write(
        f"{manifests}/etcd.yaml", "spec: {containers: [{command: [etcd], args: ['--cert-file=/c', '--key-file=/k']}]}\n"
    )
    node.write(f"{manifests}/other.yaml", "spec: {containers: [{command: [nginx]}, {command: {a: b}}, 5]}\n")
    node.write(f"{manifests}/broken.yaml", "a: *b\n")
    node.write(f"{manifests}/.hidden.yaml", "spec: {containers: [{command: [kube-apiserver]}]}\n")
    node.run("/usr/bin/kubelet", f"--config={CONFIG}")
    etcd = only(gather_host(node.root), ProgramKind.ETCD)
    assert values(etcd, "cert-file", "key-file") == ["/c", "/k"]
    assert etcd.location == f"{manifests}/etcd.yaml"
    assert len(gather_host(node.root).programs) == 2


def test_files_of_structured_authentication_and_authorization_are_read(node: FakeNode) -> None:
    """They replace the flags of old; one that cannot be read is a gap."""
    node.write("/a.yaml", "anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}\n")
    node.write("/z.yaml", "authorizers: [{type: Node}, {type: RBAC}, {type: Webhook}]\n")
    node.run("kube-apiserver", "--authentication-config=/a.yaml", "--authorization-config=/z.yaml")
    server = only(gather_host(node.root), ProgramKind.APISERVER)
    assert values(server, "anonymous-auth", "anonymous-paths") == ["true", "/livez,/readyz"]
    assert server.value("authorization-mode") == "Node,RBAC,Webhook"
    node.run("kube-apiserver", "--authentication-config=/a.yaml", "--anonymous-auth=false")
    by_flag = gather_host(node.root).programs[1]
    assert values(by_flag, "anonymous-auth", "anonymous-paths") == ["false", ""]
    node.write("/proc/102/comm", "")
    (node.root / "z.yaml").unlink()
    server = only(gather_host(node.root), ProgramKind.APISERVER)
    assert "/z.yaml" in server.gap
    assert not server.value("authorization-mode")


def test_etcd_is_configured_by_flags_then_its_environment(node: FakeNode) -> None:
    """Flags win; a switch without a value is true; variables of others are not kept."""
    node.run(
        "/usr/bin/etcd", "-client-cert-auth", "--cert-file", "/flag.crt",
        environment={"ETCD_CERT_FILE": "/env.crt", "ETCD_KEY_FILE": "/env.key", "HOME": "/root", "ETCD_NAME": "a"},
    )  # fmt: skip
    host = gather_host(node.root)
    etcd = only(host, ProgramKind.ETCD)
    assert values(etcd, "cert-file", "key-file", "client-cert-auth") == ["/flag.crt", "/env.key", "true"]
    assert values(etcd, "listen-client-urls", "auto-tls") == ["http://localhost:2379", "false"]
    assert all("HOME" not in process.environment for process in host.processes)


def test_a_file_of_etcd_is_all_there_is(node: FakeNode) -> None:
    """With one, etcd ignores flags and environment."""
    node.write(
        "/etc/etcd.yaml",
        "listen-client-urls: https://10.0.0.1:2379\n"
        "client-transport-security: {cert-file: /c, client-cert-auth: true}\n"
        "peer-transport-security: {auto-tls: true}\n",
    )
    node.run("/usr/bin/etcd", "--key-file=/k", environment={"ETCD_CONFIG_FILE": "/etc/etcd.yaml"})
    etcd = only(gather_host(node.root), ProgramKind.ETCD)
    assert values(etcd, "cert-file", "key-file", "client-cert-auth", "peer-auto-tls") == ["/c", "", "true", "true"]
    assert etcd.location == "/etc/etcd.yaml"


def test_an_environment_that_cannot_be_read_is_a_gap_of_etcd(node: FakeNode) -> None:
    """Only a file given by a flag makes it irrelevant; without one, no default is taken for granted."""
    pid = node.run("/usr/bin/etcd", "--cert-file=/c")
    (node.root / f"proc/{pid}/environ").unlink()
    etcd = only(gather_host(node.root), ProgramKind.ETCD)
    assert "environment" in etcd.gap
    assert values(etcd, "cert-file", "auto-tls") == ["/c", ""]
    node.write("/etc/etcd.yaml", "name: one\n")
    node.write(f"/proc/{pid}/cmdline", "etcd\0--config-file=/etc/etcd.yaml\0")
    assert not only(gather_host(node.root), ProgramKind.ETCD).gap


def test_a_process_that_names_too_many_bytes_is_a_gap(node: FakeNode) -> None:
    """A pod cannot keep the audit busy with files of its own."""
    for number in range(20):
        node.write(f"/etc/kubelet.d/{number}.conf", f"a: {'x' * 100_000}\n")
    node.run("/usr/bin/kubelet", "--config-dir=/etc/kubelet.d")
    assert "too many" in only(gather_host(node.root), ProgramKind.KUBELET).gap


def test_a_file_system_that_does_not_answer_is_a_gap(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a FUSE server of a pod may do; the process is asked for no other file."""
    asked: list[str] = []
    over = threading.Event()

    def hang(_root: Path, path: str, _limit: int) -> bytes:
        asked.append(path)
        over.wait()
        return b""

    monkeypatch.setattr(reader, "read_within", hang)
    monkeypatch.setattr(reader, "PATIENCE_S", 0.01)
    node.run("/snap/kubelite", "--kubelet-args-file=/a", "--apiserver-args-file=/b")
    host = gather_host(node.root)
    over.set()
    assert asked == ["/a"]
    assert len(host.programs) == 2
    assert all("does not answer" in program.gap for program in host.programs)


def test_other_programs_of_the_name_and_their_secrets_are_left_alone(node: FakeNode) -> None:
    """A proxy of etcd is no member; command lines that nobody judges are not kept."""
    node.run("/usr/bin/etcd", "grpc-proxy", "start")
    node.run("/usr/bin/mysql", "--password=secret", name="etcd")
    host = gather_host(node.root)
    assert not host.programs
    assert "secret" not in repr(host)


def test_several_programs_of_a_kind_have_subjects_of_their_own(node: FakeNode) -> None:
    """By name and directory, which a restart does not change; a number where these are the same."""
    node.run("/usr/bin/etcd", "--name=a", "--data-dir=/a")
    node.run("/usr/bin/etcd", "--name=b", "--data-dir=/b")
    node.run("/usr/bin/etcd", "--name=b", "--data-dir=/b")
    subjects = [program.subject for program in gather_host(node.root).programs]
    assert [subject.replace(" http://localhost:2379", "") for subject in subjects] == [
        "etcd a /a",
        "etcd b /b",
        "etcd b /b #2",
    ]


def test_programs_are_bounded(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """More of them than the bound are a gap, so that nobody hides a kubelet behind pods that are called so."""
    monkeypatch.setattr(gathering, "MAX_PROGRAMS", 3)
    for _ in range(5):
        node.run("/usr/bin/kubelet")
    host = gather_host(node.root)
    assert len(host.programs) == 3
    assert "more than 3" in host.gap


def test_processes_that_are_not_seen_are_a_gap(node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where process 1 is hidden, where it is a container's, where there are too many, and where there is no /proc."""
    assert not gather_host(node.root).gap
    node.write("/proc/1/comm", "my-app\n")
    assert "container" in gather_host(node.root).gap
    (node.root / "proc/self/ns").mkdir(parents=True)
    (node.root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    assert not gather_host(node.root).gap
    node.write("/proc/1/comm", "")
    assert "hidden" in gather_host(node.root).gap
    monkeypatch.setattr(processes, "MAX_PROCESSES", 0)
    assert "more than 0" in gather_host(node.root).gap
    assert "cannot be listed" in gather_host(tmp_path / "none").gap


def test_microk8s_names_a_file_of_arguments_for_each_program(node: FakeNode) -> None:
    """One that cannot be read is a gap of that program."""
    node.write("/var/snap/kubelet", "# comment\n--anonymous-auth=false\n--read-only-port=0\n")
    node.run("/snap/kubelite", "--kubelet-args-file=/var/snap/kubelet", "--apiserver-args-file=/var/snap/none")
    host = gather_host(node.root)
    assert values(only(host, ProgramKind.KUBELET), *SECURITY[:3]) == ["false", "AlwaysAllow", "0"]
    assert "/var/snap/none" in only(host, ProgramKind.APISERVER).gap


UNIT = """[Service]
Type=notify
ExecStart=/usr/local/bin/k3s \\
    server \\
        '--kubelet-arg=read-only-port=10255' \\
        --disable=traefik

KillMode=process
"""


def test_k3s_is_read_from_its_unit_and_its_files(node: FakeNode) -> None:
    """Its own defaults are closed; arguments in the unit, the file and its drop-ins add up."""
    node.write("/etc/systemd/system/k3s.service", UNIT)
    node.write("/etc/rancher/k3s/config.yaml", "kube-apiserver-arg: [anonymous-auth=true]\ntoken: secret\n")
    node.write("/etc/rancher/k3s/config.yaml.d/a.yaml", "kube-apiserver-arg+: authorization-mode=AlwaysAllow\n")
    node.write("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s.conf", "authorization: {mode: AlwaysAllow}\n")
    node.run("/usr/local/bin/k3s server", name="k3s-server")
    host = gather_host(node.root)
    kubelet, server = only(host, ProgramKind.KUBELET), only(host, ProgramKind.APISERVER)
    assert not kubelet.gap
    assert values(kubelet, *SECURITY[:3]) == ["false", "AlwaysAllow", "10255"]
    assert values(server, "anonymous-auth", "authorization-mode") == ["true", "AlwaysAllow"]
    assert values(server, "enable-admission-plugins") == ["NodeRestriction"]
    assert server.location == "/etc/rancher/k3s/config.yaml.d/a.yaml"
    assert "secret" not in repr(host)
    assert not host.of(ProgramKind.ETCD)


def test_a_k3s_whose_arguments_are_hidden_is_a_gap(node: FakeNode) -> None:
    """Nothing is taken for its default then, on a server either; an agent has no API server."""
    node.run("/usr/local/bin/k3s agent", name="k3s-agent")
    host = gather_host(node.root)
    kubelet = only(host, ProgramKind.KUBELET)
    assert "k3s-agent.service" in kubelet.gap
    assert not kubelet.settings
    assert not host.of(ProgramKind.APISERVER)
    node.write("/proc/101/cmdline", "/usr/local/bin/k3s server\0\0\0")
    server = only(gather_host(node.root), ProgramKind.APISERVER)
    assert "k3s.service" in server.gap
    assert not server.settings


def test_an_embedded_etcd_of_k3s_is_read_from_the_file_that_k3s_writes(node: FakeNode) -> None:
    """That file is there on servers of a cluster with several of them."""
    node.write("/data/server/db/etcd/config", "name: one\nlisten-client-urls: https://127.0.0.1:2379\n")
    node.run("/usr/local/bin/k3s", "server", "--data-dir", "/data", "--disable-agent", name="k3s-server")
    host = gather_host(node.root)
    assert only(host, ProgramKind.ETCD).value("listen-client-urls") == "https://127.0.0.1:2379"
    assert not host.of(ProgramKind.KUBELET)


def test_default_routes_of_ipv6_count_unless_they_reject(node: FakeNode) -> None:
    """An unreachable default route leads nowhere, as does one of loopback."""
    zeros = "0" * 32
    lines = [
        f"{zeros} 00 {zeros} 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth1",
        f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200     eth2",
        f"{zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00000001       lo",
        f"fd{zeros[2:]} 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     eth3",
        "torn line",
    ]
    node.write("/proc/net/ipv6_route", "\n".join(lines))
    assert gather_host(node.root).uplinks == ("eth1",)


def test_sysctls_interfaces_and_uplinks_are_read(node: FakeNode) -> None:
    """A VLAN's dot is a slash in names of sysctls; a value is cut at its bound."""
    for interface in ("all", "default", "lo", "eth0", "eth0/100"):
        node.sysctl(f"net.ipv4.conf.{interface}.rp_filter", 1)
    node.sysctl("net.ipv4.tcp_syncookies", "x" * 1000)
    node.uplink("eth0")
    host = gather_host(node.root)
    assert host.interfaces == ("eth0", "eth0.100")
    assert host.uplinks == ("eth0",)
    assert host.sysctls["net.ipv4.conf.eth0/100.rp_filter"] == "1"
    assert host.sysctls["net.ipv4.tcp_syncookies"] == "x" * 64
