"""The examples load, do what their comments promise, and are all in the table of examples/README.md."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.config.shapes import group_of, leaves
from monitor.daemon.pipeline.wiring import build_rules
from monitor.filters.library import load_filter
from monitor.model.bans import Mode
from monitor.settings.load import Loaded, load

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))

PROMISES: Mapping[str, Mapping[str, Any]] = {
    "bastion.yaml": {
        "bans.allowlist": ["192.0.2.0/24", "2001:db8:10::/48"],
        "bans.budget.bans_per_minute": 60,
        "bans.protect.sessions": True,
        "bans.recidive.bantime": "12w",
        "bans.recidive.findtime": "4w",
        "bans.recidive.maxretry": 2,
        "detectors.failures.logins.filter": "pam-generic",
        "detectors.failures.sshd.bantime": "1d",
        "detectors.failures.sshd.findtime": "1h",
        "detectors.failures.sshd.maxretry": 3,
    },
    "database.yaml": {
        "detectors.egress.mode": "observe",
        "detectors.port_scan.maxretry": 5,
        "detectors.port_scan.mode": "enforce",
        "detectors.protected_port.bantime": "1d",
        "detectors.protected_port.mode": "enforce",
        "detectors.protected_port.services.postgresql.networks": ["10.20.0.0/16"],
        "detectors.protected_port.services.postgresql.ports": ["5432"],
    },
    "dns-resolver.yaml": {
        "detectors.ephemeral_ports": "1024-65535",
        "detectors.failures.dns-refused.findtime": "1m",
        "detectors.failures.dns-refused.maxretry": 50,
        "detectors.udp_amplification.answered": "2MB",
        "detectors.udp_amplification.bantime": "10m",
        "detectors.udp_amplification.findtime": "1m",
        "detectors.udp_amplification.mode": "enforce",
        "detectors.udp_amplification.ports": [53],
        "detectors.udp_amplification.ratio": 5.0,
    },
    "from-fail2ban.yaml": {
        "bans.increment.overalljails": True,
        "detectors.from_fail2ban": "/etc/fail2ban",
        "detectors.half_open.mode": "observe",
        "detectors.host_sweep.mode": "observe",
        "detectors.port_scan.mode": "observe",
    },
    "game-udp-xdp.yaml": {
        "bans.xdp.interfaces": ["eth0"],
        "detectors.ephemeral_ports": "auto",
        "detectors.port_scan.mode": "enforce",
        "detectors.syn_rate.findtime": "10s",
        "detectors.syn_rate.maxretry": 2000,
        "detectors.syn_rate.mode": "observe",
        "detectors.udp_rate.findtime": "10s",
        "detectors.udp_rate.maxretry": 20_000,
        "detectors.udp_rate.mode": "observe",
    },
    "gateway.yaml": {
        "bans.max_bans": 262_144,
        "detectors.egress.mode": "observe",
        "detectors.egress.sources": ["10.50.0.0/16"],
        "detectors.host_sweep.mode": "enforce",
        "detectors.open_connections.max_entries": 262_144,
        "detectors.port_scan.mode": "enforce",
        "sources.conntrack.buffer": "32MiB",
        "sources.kernel_log.prefixes": ["fw-drop: "],
    },
    "k3s-worker.yaml": {
        "bans.allowlist": ["10.20.0.0/24", "10.42.0.0/16", "10.43.0.0/16"],
        "detectors.egress.mode": "observe",
        "detectors.protected_port.mode": "observe",
        "detectors.protected_port.services.kube-proxy.ports": ["10256"],
        "detectors.protected_port.services.kubelet.networks": [],
        "detectors.protected_port.services.kubelet.ports": ["10250"],
        "sources.drops.all_namespaces": True,
    },
    "kubeadm-control-plane.yaml": {
        "bans.protect.kubernetes": True,
        "detectors.failures.kube-apiserver.bantime": "1h",
        "detectors.failures.kube-apiserver.files": ["/var/log/kubernetes/audit/audit.log"],
        "detectors.failures.kube-apiserver.maxretry": 5,
        "detectors.protected_port.bantime": "1d",
        "detectors.protected_port.mode": "enforce",
        "detectors.protected_port.services.etcd.networks": [],
        "detectors.protected_port.services.etcd.ports": ["2379-2380"],
        "detectors.protected_port.services.kube-apiserver.networks": ["10.0.0.0/8"],
        "detectors.protected_port.services.kube-apiserver.ports": ["6443"],
        "detectors.protected_port.services.kube-controller-manager.networks": [],
        "detectors.protected_port.services.kube-scheduler.networks": [],
        "detectors.protected_port.services.kubelet.networks": [],
        "detectors.protected_port.services.kubelet.ports": ["10250"],
    },
    "mail.yaml": {
        "bans.prefixes.findtime": "1d",
        "bans.prefixes.ipv4_24": 8,
        "bans.recidive.bantime": "4w",
        "bans.recidive.findtime": "1w",
        "bans.recidive.maxretry": 3,
        "detectors.failures.imap.bantime": "1d",
        "detectors.failures.imap.maxretry": 5,
        "detectors.failures.smtp-auth.findtime": "6h",
        "detectors.failures.smtp-auth.maxretry": 5,
        "detectors.failures.smtp-reject.maxretry": 20,
        "detectors.failures.smtp-reject.mode": "observe",
    },
    "observe-first.yaml": {
        "detectors.failures.logins.filter": "pam-generic",
        "detectors.failures.sshd.maxretry": 3,
        "detectors.port_scan.maxretry": 10,
    },
    "reverse-proxy.yaml": {
        "bans.budget.bans_per_minute": 1000,
        "bans.max_bans": 524_288,
        "detectors.failures.scan.bantime": "1h",
        "detectors.half_open.total": 20_000,
        "detectors.open_connections.max_entries": 1_048_576,
        "detectors.open_connections.maxretry": 5000,
        "detectors.open_connections.mode": "observe",
        "sources.conntrack.buffer": "64MiB",
    },
    "vps-sshd.yaml": {
        "bans.increment.enabled": True,
        "bans.increment.factor": 1.0,
        "bans.increment.maxtime": "12w",
        "detectors.failures.sshd.bantime": "1h",
        "detectors.failures.sshd.filter": "sshd[mode=aggressive]",
        "detectors.failures.sshd.maxretry": 3,
        "detectors.failures.sshd.mode": "enforce",
        "detectors.port_scan.bantime": "1h",
        "detectors.port_scan.mode": "enforce",
    },
    "web-nginx.yaml": {
        "detectors.failures.nginx-auth.bantime": "1h",
        "detectors.failures.nginx-auth.findtime": "10m",
        "detectors.failures.nginx-auth.maxretry": 5,
        "detectors.failures.nginx-bad-request.bantime": "10m",
        "detectors.failures.nginx-bad-request.maxretry": 10,
        "detectors.failures.nginx-scan.bantime": "1d",
        "detectors.failures.nginx-scan.maxretry": 3,
        "detectors.open_connections.maxretry": 200,
        "detectors.open_connections.mode": "observe",
    },
}
"""What the comment of each example says, as the values that must be in force."""


def installed(directory: Path, name: str = "") -> Loaded:
    """Load what a new installation has, and this example as its `conf.d/50-local.yaml`."""
    (directory / "conf.d").mkdir(parents=True)
    shutil.copy(ROOT / "systemd/nodewarden.yaml", directory)
    shutil.copy(ROOT / "systemd/observe.yaml", directory / "conf.d/10-observe.yaml")
    if name:
        shutil.copy(EXAMPLES / name, directory / "conf.d/50-local.yaml")
    return load(directory / "nodewarden.yaml")


def values_of(loaded: Loaded) -> dict[str, Any]:
    """Return the settings as plain values by their place."""
    return dict(leaves(group_of(type(loaded.settings)), loaded.settings))


def test_every_example_has_promises() -> None:
    """No example is without a check of what its comment says."""
    assert sorted(PROMISES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_loads_by_itself(name: str) -> None:
    """As the only file it is a sound configuration, and it differs from the defaults."""
    loaded = load(EXAMPLES / name)
    assert loaded.settings != type(loaded.settings)()


@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_what_its_comment_says(name: str, tmp_path: Path) -> None:
    """In a new installation, the values that the comment names are in force."""
    values = values_of(installed(tmp_path, name))
    promised = PROMISES[name]
    assert {place: values.get(place) for place in promised} == dict(promised)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_nothing_twice(name: str, tmp_path: Path) -> None:
    """Every value that an example sets differs from a new installation, or from the defaults where that observes."""
    before = values_of(installed(tmp_path / "before"))
    defaults = values_of(load(EXAMPLES.parent / "systemd/nodewarden.yaml"))
    loaded = installed(tmp_path / "after", name)
    own = {place for place, origin in loaded.origins.items() if "50-local.yaml" in str(origin)}
    values = values_of(loaded)
    same = {place for place in own if place in before and before[place] == values[place] == defaults[place]}
    assert not same


def test_observe_first_bans_nobody(tmp_path: Path) -> None:
    """Every detector of the example that observes first is in mode observe, those of logs included."""
    settings = installed(tmp_path, "observe-first.yaml").settings
    rules = build_rules(settings, settings.detectors.failures)
    assert len(rules.detectors) > 10
    assert {policy.mode for policy in rules.detectors.values()} == {Mode.OBSERVE}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"observe-first.yaml", "from-fail2ban.yaml"}))
def test_other_examples_enforce_in_a_new_installation(name: str, tmp_path: Path) -> None:
    """An example that bans says so at the top; one that observes first is left as a new installation is."""
    settings = installed(tmp_path, name).settings
    rules = build_rules(settings, settings.detectors.failures)
    assert Mode.ENFORCE in {policy.mode for policy in rules.detectors.values()}


@pytest.mark.parametrize("name", NAMES)
def test_the_filters_of_an_example_exist(name: str) -> None:
    """Every filter that an example names is built in, in the mode that it names."""
    filters = [value for place, value in values_of(load(EXAMPLES / name)).items() if place.endswith(".filter")]
    assert filters
    assert all(load_filter(reference).failregex for reference in filters)


def test_the_table_names_every_example_and_no_other() -> None:
    """The table of examples/README.md has one row for each file, in which name and link agree."""
    rows = re.findall(r"^\| \[([^]]+)\]\(([^)]+)\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert all(text == target for text, target in rows)
    assert sorted(target for _, target in rows) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_example_begins_with_what_it_is_for(name: str) -> None:
    """The first line is a sentence about the machine, and no line is too long to read."""
    lines = (EXAMPLES / name).read_text().splitlines()
    assert re.match(r"# [A-Z].{15,}[.:]", lines[0])
    assert max(map(len, lines)) <= 120
