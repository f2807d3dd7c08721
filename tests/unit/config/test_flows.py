"""The settings of detectors of flows: defaults, ranges, the files made ready for Kubernetes."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.config.types import PortRange
from monitor.daemon.pipeline.wiring import build_detectors
from monitor.detectors.protected_port import ProtectedPortDetector, ProtectedServiceSettings
from monitor.detectors.registry import REGISTRATIONS
from monitor.model.addresses import Network, parse_network
from monitor.model.bans import Mode
from monitor.model.flows import FlowBatch
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.flows import handshakes
from tests.unit.config.support import faults_of, write

SYSTEMD = Path(__file__).parents[3] / "systemd"
FLOW_DETECTORS = [one.name for one in REGISTRATIONS if FlowBatch in one.detector.takes]
PRESETS = sorted((SYSTEMD / "presets").glob("*.yaml"))


def networks(*texts: str) -> tuple[Network, ...]:
    """Read networks."""
    return tuple(map(parse_network, texts))


PRIVATE = networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")


def preset(tmp_path: Path, name: str, main: str | None = None) -> Settings:
    """Return the settings of a preset on top of the default file."""
    text = (SYSTEMD / "nodewarden.yaml").read_text() if main is None else main
    write(tmp_path, (SYSTEMD / "presets" / f"{name}.yaml").read_text(), f"conf.d/20-{name}.yaml")
    return load(write(tmp_path, text)).settings


def test_by_default_only_half_open_connections_are_answered(tmp_path: Path) -> None:
    """What could take a proxy for an offender only observes, and egress has nothing to watch."""
    detectors = load(write(tmp_path, "")).settings.detectors
    modes = {name: getattr(detectors, name).mode for name in FLOW_DETECTORS}
    assert modes.pop("half_open") is Mode.ENFORCE
    assert set(modes.values()) == {Mode.OBSERVE}
    assert len(modes) == 5
    assert detectors.egress.approved == ()
    assert list(detectors.protected_port.services) == ["etcd", "kube-apiserver", "kubelet"]
    assert {service.networks for service in detectors.protected_port.services.values()} == {PRIVATE}


def test_the_default_file_says_what_is_the_default() -> None:
    """Every key of these detectors stands there with its default."""
    detectors = load(SYSTEMD / "nodewarden.yaml").settings.detectors
    for name in FLOW_DETECTORS:
        assert getattr(detectors, name) == getattr(Settings().detectors, name)


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    """Values reach the settings in their units; a service of one's own stands beside those that are there."""
    text = """
detectors:
  half_open: {mode: observe, findtime: 1s, maxretry: 10, total: 100, bantime: 90s, max_entries: 1024}
  open_connections: {findtime: 1h, maxretry: 1000}
  protected_port:
    services:
      kubelet: {networks: [192.0.2.0/24]}
      database: {ports: [5432, 6000-6010]}
  egress: {approved: [192.0.2.0/24, "2001:db8::/32"], sources: [10.9.0.0/16]}
  udp_amplification: {ports: [53, 5353], ratio: 2.5, answered: 10MB}
"""
    detectors = load(write(tmp_path, text)).settings.detectors
    half_open = detectors.half_open
    assert (half_open.mode, half_open.findtime_s, half_open.maxretry) == (Mode.OBSERVE, 1.0, 10)
    assert (half_open.total, half_open.bantime_s, half_open.max_entries) == (100, 90.0, 1024)
    assert (detectors.open_connections.findtime_s, detectors.open_connections.maxretry) == (3600.0, 1000)
    services = detectors.protected_port.services
    assert list(services) == ["etcd", "kube-apiserver", "kubelet", "database"]
    assert services["kubelet"] == ProtectedServiceSettings(
        ports=(PortRange(10250, 10250),), networks=networks("192.0.2.0/24")
    )
    assert services["database"] == ProtectedServiceSettings(ports=(PortRange(5432, 5432), PortRange(6000, 6010)))
    assert services["database"].networks == PRIVATE
    assert (detectors.egress.approved, detectors.egress.sources) == (
        networks("192.0.2.0/24", "2001:db8::/32"),
        networks("10.9.0.0/16"),
    )
    amplification = detectors.udp_amplification
    assert (amplification.ports, amplification.ratio) == ((53, 5353), 2.5)
    assert amplification.answered_bytes == 10_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("half_open: {maxretry: 9}", "half_open.maxretry"),
        ("half_open: {total: 99}", "half_open.total"),
        ("half_open: {findtime: 2h}", "half_open.findtime"),
        ("connection_rate: {maxretry: 1}", "connection_rate.maxretry"),
        ("connection_rate: {max_entries: 1000}", "connection_rate.max_entries"),
        ("open_connections: {total: 5000}", "open_connections.total"),
        ("protected_port: {services: {database: {networks: []}}}", "protected_port.services.database.ports"),
        ("protected_port: {services: {database: {ports: [70000]}}}", "protected_port.services.database.ports"),
        ("protected_port: {services: {database: {ports: [20-10]}}}", "protected_port.services.database.ports"),
        ("protected_port: {maxretry: 2}", "protected_port.maxretry"),
        ("egress: {approved: [192.0.2.1/24]}", "egress.approved"),
        ("egress: {mode: on}", "egress.mode"),
        ("udp_amplification: {ports: [0]}", "udp_amplification.ports"),
        ("udp_amplification: {ratio: 0.5}", "udp_amplification.ratio"),
        ("udp_amplification: {answered: 10}", "udp_amplification.answered"),
    ],
)
def test_faults_name_their_place(tmp_path: Path, text: str, place: str) -> None:
    """What is out of range, no such thing, or missing, is one line with file, line and key."""
    (fault,) = faults_of(write(tmp_path, f"detectors:\n  {text}\n"))
    assert fault.startswith("nodewarden.yaml:2")
    assert f"detectors.{place}" in fault


@pytest.mark.parametrize("name", FLOW_DETECTORS)
def test_a_jail_cannot_take_their_names(tmp_path: Path, name: str) -> None:
    """A detector of failures of that name would be mistaken for one of flows."""
    (fault,) = faults_of(write(tmp_path, f"detectors: {{failures: {{{name}: {{filter: sshd}}}}}}\n"))
    assert name in fault


def told(settings: Settings, source: str, port: int) -> bool:
    """Whether a connection is told of, on a node where nobody is allowed anything beside what is configured."""
    (detector,) = (one for one in build_detectors(settings) if isinstance(one, ProtectedPortDetector))
    return bool(list(detector.feed([FlowBatch(1000.0, completed=handshakes(1, source, port))])))


def test_there_are_presets() -> None:
    """For both kinds of Kubernetes nodes."""
    assert [path.stem for path in PRESETS] == ["control-plane", "worker"]


@pytest.mark.parametrize("main", [None, ""])
@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_presets_change_only_who_may_connect(tmp_path: Path, name: str, main: str | None) -> None:
    """On top of the default file or none: they observe until they are told otherwise, for a day, and leave all else."""
    settings = preset(tmp_path, name, main)
    section = settings.detectors.protected_port
    assert (section.mode, section.bantime_s) == (Mode.OBSERVE, 86_400.0)
    detectors = replace(settings.detectors, protected_port=Settings().detectors.protected_port)
    assert replace(settings, detectors=detectors) == Settings()
    assert section.services.keys() >= {"etcd", "kube-apiserver", "kubelet"}


@pytest.mark.parametrize("name", [path.stem for path in PRESETS])
def test_strangers_are_told_of_at_every_service(tmp_path: Path, name: str) -> None:
    """Every port that a preset names, and none beside these."""
    settings = preset(tmp_path, name)
    ports = {"control-plane": {10257, 10259}, "worker": {10249, 10256}}[name] | {2379, 2380, 6443, 10250}
    tried = {*range(2000, 11_000, 9), *(port + step for port in ports for step in range(-2, 3))}
    for source in ("198.51.100.7", "2001:db8::7"):
        assert {port for port in tried if told(settings, source, port)} == ports


def test_on_a_control_plane_nobody_has_what_is_the_cluster_s_own(tmp_path: Path) -> None:
    """etcd and what listens on loopback are for nobody, not even inside; API server and kubelet for inside."""
    settings = preset(tmp_path, "control-plane")
    for source in ("10.1.2.3", "172.31.0.1", "192.168.7.7", "fd00::7"):
        assert [told(settings, source, port) for port in (2379, 2380, 10257, 10259)] == [True] * 4
        assert [told(settings, source, port) for port in (6443, 10250)] == [False] * 2
    assert not told(settings, "100.64.0.1", 6443)


def test_on_a_worker_kubelet_and_kube_proxy_are_for_inside(tmp_path: Path) -> None:
    """What the default file has beside these stays."""
    settings = preset(tmp_path, "worker")
    for source in ("10.1.2.3", "172.31.0.1", "192.168.7.7", "fd00::7"):
        assert [told(settings, source, port) for port in (10250, 10249, 10256, 6443, 2379)] == [False] * 5
    services = settings.detectors.protected_port.services
    for name in ("etcd", "kube-apiserver"):
        assert services[name] == Settings().detectors.protected_port.services[name]


def test_a_preset_can_be_filled_in_by_a_later_file(tmp_path: Path) -> None:
    """Networks of one's own replace those of the preset, and the mode is one's own to change."""
    text = "detectors: {protected_port: {mode: enforce, services: {etcd: {networks: [192.0.2.0/24]}}}}\n"
    write(tmp_path, text, "conf.d/50-local.yaml")
    settings = preset(tmp_path, "control-plane")
    assert settings.detectors.protected_port.mode is Mode.ENFORCE
    assert not told(settings, "192.0.2.7", 2380)
    assert told(settings, "10.1.2.3", 2380)


def test_a_threshold_that_cannot_be_reached_is_a_fault(tmp_path: Path) -> None:
    """More open connections than are followed would never be counted."""
    path = write(tmp_path, "detectors: {open_connections: {maxretry: 100000, max_entries: 1024}}\n")
    (fault,) = faults_of(path)
    assert "detectors.open_connections.maxretry: 100000 can never be reached" in fault
