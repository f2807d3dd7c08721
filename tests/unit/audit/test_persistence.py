"""What would load rules at the next boot, read from a root directory."""

import os
from pathlib import Path

from monitor.audit.rules.persistence import read_persistence


def _enable(root: Path, unit: str, directory: str = "etc/systemd/system/multi-user.target.wants") -> None:
    (root / directory).mkdir(parents=True, exist_ok=True)
    (root / directory / unit).symlink_to(f"/lib/systemd/system/{unit}")


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_enabled_units_and_the_files_that_they_include_are_read(tmp_path: Path) -> None:
    """nftables.service loads its file and what that includes; a unit of the operator that runs nft is a loader, too."""
    _enable(tmp_path, "nftables.service", "etc/systemd/system/sysinit.target.wants")
    _enable(tmp_path, "firewall.service")
    _enable(tmp_path, "ssh.service")
    _write(tmp_path, "etc/systemd/system/firewall.service", "[Service]\nExecStart=/usr/sbin/nft -f /opt/rules\n")
    _write(tmp_path, "etc/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd\n")
    _write(tmp_path, "etc/nftables.conf", 'flush ruleset\ninclude "/etc/nftables.d/*.nft"\ninclude "../../x/**"\n')
    _write(tmp_path, "etc/nftables.d/a.nft", "table inet mine { }\n")
    _write(tmp_path, "etc/iptables/rules.v4", "*filter\n")
    found = read_persistence(tmp_path)
    assert found.is_known
    assert found.loaders == ("firewall.service", "nftables.service")
    assert found.texts["/etc/nftables.d/a.nft"] == "table inet mine { }\n"
    assert set(found.texts) == {"/etc/nftables.conf", "/etc/nftables.d/a.nft"}


def test_a_unit_that_is_not_enabled_loads_nothing(tmp_path: Path) -> None:
    """The file is there, and nobody would load it."""
    _enable(tmp_path, "ssh.service")
    _write(tmp_path, "etc/nftables.conf", "table inet mine { }\n")
    found = read_persistence(tmp_path)
    assert (found.is_known, found.loaders, found.texts) == (True, (), {})


def test_without_directories_of_systemd_nothing_is_known(tmp_path: Path) -> None:
    """In a container it cannot be seen what the host would load: that is no "nothing"."""
    assert not read_persistence(tmp_path).is_known


def test_a_fifo_and_a_device_in_place_of_a_file_stop_nothing(tmp_path: Path) -> None:
    """They are passed over, and never waited for."""
    _enable(tmp_path, "netfilter-persistent.service")
    _write(tmp_path, "etc/iptables/rules.v6", "*filter\n-A INPUT -j DROP\n")
    os.mkfifo(tmp_path / "etc/iptables/rules.v4")
    assert set(read_persistence(tmp_path).texts) == {"/etc/iptables/rules.v6"}
