"""Moving over from fail2ban with a real daemon: its jails, filters and bans work here, also when fail2ban is gone."""

import shutil
import time
from pathlib import Path

import pytest

from tests.kernel.conftest import Site
from tests.support.daemon import wait_for
from tests.unit.filters.fail2ban.support import write
from tests.unit.filters.fail2ban.test_bans import database

pytestmark = pytest.mark.kernel

_FILES = {
    "filter.d/common.conf": "[Definition]\n_app = shop\n",
    "filter.d/shop.conf": "[INCLUDES]\nbefore = common.conf\n[Definition]\n"
    "prefregex = ^\\s*%(_app)s(?: <ADDR>)?: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^bad login(?: from <ADDR>)?$\n",
}
_SILENT = "sources: {kernel_log: {enabled: false}, drops: {enabled: false}, journal: {enabled: false}}\n"


def test_moving_over(site: Site, tmp_path: Path) -> None:
    """A jail finds what it found, bans keep their time and their jail, and fail2ban's files are not needed."""
    log = tmp_path / "shop.log"
    log.write_text("")
    jail = f"[shop]\nenabled = true\nfilter = shop\nbackend = polling\nlogpath = {log}\nmaxretry = 2\nbantime = -1\n"
    directory = write(tmp_path / "fail2ban", _FILES | {"jail.local": jail})
    rows = [("192.0.2.7", "shop", time.time() - 60, 660), ("127.0.0.1", "shop", time.time(), 600)]
    bans = database(tmp_path / "db", *rows, ("192.0.2.8", "shop", time.time() - 700, 660))
    own = site.daemon.configuration_path.parent
    site.daemon.configure(_SILENT)
    done = site.daemon.run("fail2ban", "import", str(directory), "--to", str(own))
    assert (done.returncode, done.stderr) == (0, ""), done
    shutil.rmtree(directory)
    site.daemon.start()
    done = site.daemon.run("fail2ban", "import", "--bans", str(bans))
    assert (done.returncode, "1 banned, 1 refused, 1 had ended" in done.stdout) == (1, True), done
    assert "allowlist" in done.stderr
    [ban] = site.daemon.ask("list")
    assert (ban["network"], ban["reason"], ban["origin"]) == ("192.0.2.7", "fail2ban jail shop", "import")
    assert 500 < ban["left_s"] <= 600
    with log.open("a") as file:
        file.write("shop 198.51.100.3: bad login\n" * 2)
    wait_for(lambda: len(site.daemon.ask("list")) == 2, "the jail to find the failures", lambda: site.daemon.log)
    [ban] = [ban for ban in site.daemon.ask("list") if ban["network"] == "198.51.100.3"]
    assert (ban["detector"], ban["set"]) == ("shop", "shun")
    assert 364 * 86_400 < ban["left_s"] <= 365 * 86_400
