"""A daemon that follows its configuration's files, as in a pod whose ConfigMap changes."""

import json
from pathlib import Path

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for

pytestmark = pytest.mark.kernel


def publish(mount: Path, generation: int, text: str) -> None:
    """Change a mounted ConfigMap as kubelet does: a new directory, one rename of the link to it, the old one gone."""
    data = mount / "..data"
    before = data.resolve() if data.is_symlink() else None
    new = mount / f"..2026_{generation}"
    new.mkdir()
    (new / "more.yaml").write_text(text)
    (mount / "..data_tmp").symlink_to(new.name)
    (mount / "..data_tmp").rename(data)
    if not (mount / "more.yaml").is_symlink():
        (mount / "more.yaml").unlink(missing_ok=True)
        (mount / "more.yaml").symlink_to("..data/more.yaml")
    if before:
        (before / "more.yaml").unlink()
        before.rmdir()


def threshold(site: Site) -> int:
    """Return the threshold of port_scan that is in force."""
    detectors = site.daemon.ask("status")["detectors"]
    return next(int(one["maxretry"]) for one in detectors if one["name"] == "port_scan")


def test_a_changed_configmap_takes_hold(site: Site, tmp_path: Path) -> None:
    """Each generation is followed by itself; a faulty one keeps the last and fails the check until it is mended."""
    mount = tmp_path / "conf.d"
    quiet = mount.joinpath("more.yaml").read_text()
    publish(mount, 1, quiet)
    site.daemon.options = ("--watch",)
    site.daemon.start()
    assert site.daemon.run("status", "--check").returncode == 0
    publish(mount, 2, f"{quiet}detectors: {{port_scan: {{maxretry: 20}}}}\n")
    wait_for(lambda: threshold(site) == 20, "the second generation to take hold", lambda: site.daemon.log)
    publish(mount, 3, "detectors: {port_scan: {maxrety: 30}}\n")
    wait_for(lambda: site.daemon.run("status", "--check").returncode == 1, "the fault to be told")
    assert "did you mean maxretry?" in site.daemon.run("status", "--check").stdout
    assert threshold(site) == 20
    publish(mount, 4, f"{quiet}detectors: {{port_scan: {{maxretry: 40}}}}\n")
    wait_for(lambda: threshold(site) == 40, "the fourth generation to take hold", lambda: site.daemon.log)
    assert site.daemon.run("status", "--check").returncode == 0


def test_a_file_that_is_added_takes_hold(site: Site, tmp_path: Path) -> None:
    """It works for plain files too, and several changes in a row are one reload."""
    site.daemon.options = ("--watch",)
    site.daemon.start()
    for number in range(20, 25):
        (tmp_path / "conf.d/90.yaml").write_text(json.dumps({"detectors": {"port_scan": {"maxretry": number}}}))
    wait_for(lambda: threshold(site) == 24, "the last change to take hold", lambda: site.daemon.log)
    assert site.daemon.metrics()['nodewarden_config_reloads_total{result="success"}'] == 1
