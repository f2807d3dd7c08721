"""The Debian package on a minimal Debian 12: it installs, runs, is upgraded and removed as Debian's policy asks."""

import email
import json
import platform
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from monitor import __version__
from tests.support.daemon import wait_for
from tests.support.deb import ROOT, later
from tests.support.lab import Lab
from tests.support.machine import Machine
from tests.support.needs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]  # the first makes package and image

_VOLATILE = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/log", "/var/cache", "/var/lib/dpkg", "/var/lib/systemd")


def install(node: Machine, deb: Path, *options: str) -> None:
    """Install as an unattended upgrade does, and let the service start."""
    node.look("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *options, "--install", deb)


def is_active(node: Machine) -> bool:
    """Whether the service runs."""
    return node.look("systemctl", "is-active", "nodewarden", check=False).strip() == "active"


def status(node: Machine) -> dict[str, Any]:
    """Return what the daemon says about itself."""
    told: dict[str, Any] = json.loads(node.look("nodewarden", "status", "--json"))
    return told


def sources(node: Machine) -> dict[str, str]:
    """Return the state of each source."""
    return {source["name"]: source["state"] for source in status(node)["sources"]}


def listed(node: Machine) -> list[str]:
    """Return the networks that are banned."""
    return [ban["network"] for ban in json.loads(node.look("nodewarden", "list", "--json"))]


def files(node: Machine) -> dict[str, str]:
    """Return what there is outside of what every package changes, with mode and owner."""
    prune = " -o ".join(f"-path {path}" for path in _VOLATILE)
    text = node.look("sh", "-c", rf"find / \( {prune} \) -prune -o -not -name __pycache__ -printf '%p %y%m %U:%G\n'")
    return dict(line.rsplit(" ", 2)[0::2] for line in text.splitlines())


def test_it_installs_and_runs(node: Machine, deb: Path) -> None:
    """On a Debian with nothing of ours the service starts at once, with all sources, and dpkg finds every file."""
    install(node, deb, "--path-include=/usr/share/*")  # the image leaves documentation out
    assert node.unit("nodewarden", "ActiveState", "UnitFileState", "NRestarts") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "NRestarts": "0",
    }
    assert status(node)["version"] == __version__
    assert status(node)["is_native"]
    wait_for(lambda: sources(node)["drops"] != "loading", "the eBPF program to be compiled and loaded")
    assert [name for name, state in sources(node).items() if state == "up"] == [
        *("kernel_log", "conntrack", "drops", "journal")
    ]
    assert node.look("dpkg", "--verify", "nodewarden") == ""
    assert node.look("dpkg", "--audit") == ""


def test_it_bans_nobody_at_first(node: Machine, deb: Path) -> None:
    """As installed every detector observes and the table has no bans; with one file deleted the defaults enforce."""
    install(node, deb)
    assert {detector["mode"] for detector in status(node)["detectors"]} == {"observe"}
    assert "elements" not in node.look("nft", "list", "set", "inet", "nodewarden", "shun4")
    node.path("/etc/nodewarden/conf.d/10-observe.yaml").unlink()
    node.look("systemctl", "reload", "nodewarden")

    def enforcing() -> set[str]:
        return {detector["name"] for detector in status(node)["detectors"] if detector["mode"] == "enforce"}

    wait_for(lambda: {"port_scan", "host_sweep", "sshd"} <= enforcing(), "the defaults to enforce")


def test_an_upgrade_keeps_configuration_and_bans(
    site: tuple[Lab, Machine], node: Machine, deb: Path, tmp_path: Path
) -> None:
    """What the operator changed or deleted stays, the new daemon runs with it, and no packet of a ban comes through."""
    install(node, deb)
    banned = site[0]["operator"]
    node.look("nodewarden", "ban", banned.address4, "--for", "1h")
    main = node.path("/etc/nodewarden/nodewarden.yaml")
    main.write_text(main.read_text().replace("level: info", "level: debug"))
    node.path("/etc/nodewarden/conf.d/10-observe.yaml").unlink()
    node.write("/etc/nodewarden/conf.d/50-local.yaml", "detectors: {port_scan: {mode: observe}}\n")
    before = node.main_pid("nodewarden")
    upgrade = later(deb, tmp_path, f"{__version__}+later", nodewarden="# of the new version\n")

    pings = banned.start("ping", "-i0.01", node.host.address4, stdout=subprocess.PIPE)
    install(node, upgrade, "--force-confold")
    pings.send_signal(signal.SIGINT)
    counted = re.search(r"(\d+) packets transmitted, (\d+) received", pings.communicate(timeout=10)[0])
    assert counted is not None
    assert int(counted[1]) > 50
    assert int(counted[2]) == 0

    assert node.main_pid("nodewarden") not in (0, before)
    assert "level: debug" in main.read_text()
    assert "of the new version" in node.path("/etc/nodewarden/nodewarden.yaml.dpkg-dist").read_text()
    assert [path.name for path in node.path("/etc/nodewarden/conf.d").iterdir()] == ["50-local.yaml"]
    assert listed(node) == [banned.address4]
    told = {detector["name"]: detector["mode"] for detector in status(node)["detectors"]}
    assert (told["port_scan"], told["host_sweep"]) == ("observe", "enforce")


def test_removing_keeps_configuration_and_state(node: Machine, deb: Path) -> None:
    """Without the package nothing runs and nothing is dropped; installed again, it knows what it knew."""
    install(node, deb)
    node.look("nodewarden", "ban", "198.51.100.7", "--for", "1h")
    node.write("/etc/nodewarden/conf.d/50-local.yaml", "bans: {allowlist: [192.0.2.1]}\n")
    node.look("dpkg", "--remove", "nodewarden")
    assert not is_active(node)
    assert "nodewarden" not in node.look("nft", "list", "tables")
    assert not node.path("/usr/lib/nodewarden").exists()
    assert node.path("/var/lib/nodewarden/nodewarden.db").exists()
    install(node, deb)
    assert listed(node) == ["198.51.100.7"]
    assert "192.0.2.1" in node.look("nodewarden", "allow", "list")


def test_purging_leaves_nothing(node: Machine, deb: Path) -> None:
    """After a purge the machine has the files, users, groups, units, tables and processes that it had before."""
    watched = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
    before = files(node), [node.path(path).read_text() for path in watched]
    install(node, deb)
    node.look("nodewarden", "ban", "198.51.100.7")
    assert len(files(node)) > len(before[0]) + 300
    node.look("dpkg", "--purge", "nodewarden")
    after = files(node)
    for backup in (f"{path}-" for path in watched):  # shadow's own copies
        before[0].pop(backup, None)
        after.pop(backup, None)
    assert after == before[0]
    assert [node.path(path).read_text() for path in watched] == before[1]
    assert node.look("nft", "list", "ruleset") == ""
    assert "nodewarden" not in node.look("systemctl", "list-units", "--all", "--plain", "--no-legend")
    assert "nodewarden" not in node.look("ps", "-eo", "args")
    assert node.look("find", "/run", "/var/lib/systemd", "-name", "*nodewarden*") == ""


def test_on_a_node_of_a_cluster_it_reads_the_clusters_files(node: Machine, deb: Path) -> None:
    """Where kubelet's files are it may read them and protects what they name; a purge takes that back."""
    kubeconfig = "clusters: [{name: one, cluster: {server: 'https://203.0.113.5:6443'}}]\n"
    node.write("/etc/kubernetes/kubelet.conf", kubeconfig)
    node.look("chmod", "600", "/etc/kubernetes/kubelet.conf")
    install(node, deb)
    assert "203.0.113.5" in node.look("nodewarden", "allow", "list")
    node.look("dpkg", "--purge", "nodewarden")
    assert not node.path("/etc/systemd/system/nodewarden.service.d").exists()
    node.look("rm", "-r", "/etc/kubernetes")


def test_it_starts_only_where_the_policy_lets_it(node: Machine, deb: Path) -> None:
    """Where policy-rc.d forbids services to be started, as image builders do, the package is installed all the same."""
    policy = node.path("/usr/sbin/policy-rc.d")
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        install(node, deb)
        assert not is_active(node)
        assert node.unit("nodewarden", "UnitFileState")["UnitFileState"] == "enabled"
    finally:
        policy.unlink()


def test_completion(node: Machine, deb: Path) -> None:
    """Commands and options complete in bash; zsh and fish are answered in the form that their scripts expect."""
    install(node, deb)
    script = (
        ". /usr/share/bash-completion/completions/nodewarden; COMP_WORDS=(nodewarden stat); COMP_CWORD=1;"
        ' _nodewarden_completion nodewarden stat nodewarden; echo "${COMPREPLY[@]}"'
    )
    assert node.look("bash", "-c", script) == "status\n"
    words = (
        "env",
        "COMP_WORDS=nodewarden list --se",
        "COMP_CWORD=2",
        "_NODEWARDEN_COMPLETE=zsh_complete",
        "nodewarden",
    )
    assert "--set" in node.look(*words).splitlines()
    words = ("env", "COMP_WORDS=nodewarden ", "COMP_CWORD=why", "_NODEWARDEN_COMPLETE=fish_complete", "nodewarden")
    assert node.look(*words).startswith("plain,why")


def test_its_libraries_are_those_it_was_tested_with(node: Machine, deb: Path) -> None:
    """What is vendored has the version of the lock; what is Debian's suits what the project asks for."""
    install(node, deb)
    python = "/usr/lib/nodewarden/bin/python3"
    code = (
        "import json, importlib.metadata as m;"
        "print(json.dumps([m.requires('nodewarden'), {d.metadata['Name'].lower().replace('_', '-'):"
        " [d.version, str(d.locate_file(''))] for d in reversed(list(m.distributions()))}]))"
    )
    asked, found = json.loads(node.look(python, "-I", "-c", code))
    locked = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.runtime.lock").read_text(), re.MULTILINE))
    for requirement in map(Requirement, asked):
        if requirement.marker is None:
            version, place = found[requirement.name.lower()]
            assert requirement.specifier.contains(version), f"{requirement.name} {version}"
            assert place.startswith("/usr/lib/python3/") or version == locked[requirement.name.lower()]
    code = "from monitor.notify.channels import templates as t; print(t.load('slack', {}).content_type)"
    assert node.look(python, "-I", "-c", code) == "application/json\n", "templates are part of the package"


_IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
import bcc, systemd.daemon, systemd.journal
import monitor
for module in pkgutil.walk_packages(monitor.__path__, "monitor."):
    importlib.import_module(module.name)
# setuptools, which pip brings, has itself imported by every Python
modules = [module for name, module in sys.modules.items() if name != "_distutils_hack"]
files = {getattr(module, "__file__", None) or "" for module in modules}
print(*(file for file in files if file.startswith("/usr/lib/python3/")), sep="\\n")
"""


def test_it_depends_on_all_that_it_imports(node: Machine, deb: Path) -> None:
    """Every module of Debian's that any of ours imports belongs to a package that it depends on or recommends."""
    install(node, deb)
    imported = node.look("/usr/lib/nodewarden/bin/python3", "-I", "-c", _IMPORT_EVERYTHING).split()
    owners = {line.partition(":")[0] for line in node.look("dpkg", "--search", *imported).splitlines()}
    assert {"python3-click", "python3-bpfcc"} <= owners
    text = node.look("dpkg-query", "--show", "--showformat=${Package}\t${Depends}, ${Pre-Depends}\n")
    text += node.look("dpkg-query", "--show", "--showformat=${Package}\t${Depends}, ${Recommends}\n", "nodewarden")
    depends = {name: re.findall(r"[a-z0-9][a-z0-9.+-]+", more) for name, _, more in map(_tab, text.splitlines())}
    needed, pending = set(), ["nodewarden"]
    while pending:
        if (name := pending.pop()) in depends and name not in needed:
            needed.add(name)
            pending += depends[name]
    assert owners <= needed


def _tab(line: str) -> tuple[str, str, str]:
    return line.partition("\t")


def test_lintian_has_nothing_against_it(deb: Path) -> None:
    """Debian's checker finds neither errors nor warnings; what is overridden says why."""
    needs("lintian")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", deb], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_its_version_is_the_programs(deb: Path) -> None:
    """The package has the version that `nodewarden --version` prints, and names the release that it is for."""
    control = email.message_from_string(subprocess.check_output(["dpkg-deb", "--field", deb], text=True))
    version, _, release = control["Version"].partition("+")
    assert version == __version__
    os_release = platform.freedesktop_os_release()
    assert release == os_release["ID"] + os_release.get("VERSION_ID", os_release.get("VERSION_CODENAME", ""))
