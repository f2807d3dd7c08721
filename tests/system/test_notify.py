"""Notifications on a machine as it is installed: the unit in its sandbox, with a credential and a command."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.daemon import wait_for
from tests.support.node import Node

pytestmark = pytest.mark.system

_UNIT = "nodewarden-notify.service"
_MAX_EXPOSURE = 15  # tenths
_CHANNELS = """
notify:
  webhook: {hook: {url_file: hook}}
  exec: {command: {command: [/srv/notify/note]}}
"""
_SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/srv/notify/got", "ab") as file:
            file.write(self.path.encode() + b" " + self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8098), Handler).serve_forever()
"""


def test_exposure_is_as_low_as_it_can_be(tmp_path: Path) -> None:
    """What is left is the Internet, to which messages go, and the sockets of the system."""
    unit = tmp_path / _UNIT
    unit.write_text(Path(f"systemd/{_UNIT}").read_text().replace("@PREFIX@", "/opt/nodewarden"))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={_MAX_EXPOSURE}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_unit_sends_messages(node: Node) -> None:
    """Without a channel it ends well; with some, a ban goes to a webhook with a secret URL and to a command."""
    said = node.try_("systemd-analyze", "verify", "--man=no", _UNIT)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    node.systemctl("stop", _UNIT)
    assert node.systemctl("start", _UNIT), node.log(_UNIT)
    wait_for(lambda: node.unit(_UNIT, "ActiveState")["ActiveState"] == "inactive", "it to end", lambda: node.log(_UNIT))
    assert node.unit(_UNIT, "Result")["Result"] == "success"
    node.write("/etc/nodewarden/hook.url", "http://127.0.0.1:8098/services/SECRET\n")
    node.look("chmod", "600", "/etc/nodewarden/hook.url")
    node.write(f"/etc/systemd/system/{_UNIT}.d/hook.conf", "[Service]\nLoadCredential=hook:/etc/nodewarden/hook.url\n")
    node.write("/srv/notify/server.py", _SERVER)
    node.write("/srv/notify/note", "#!/bin/sh\ncat > /var/lib/nodewarden/notify/noted\n")
    node.look("chmod", "755", "/srv/notify/note")
    node.look("systemd-run", "--quiet", "--unit=notify-server", "python3", "/srv/notify/server.py")
    wait_for(lambda: node.host.run("curl", "-s", "http://127.0.0.1:8098/", check=False).returncode == 0, "the server")
    node.configure(_CHANNELS)
    node.look("systemctl", "daemon-reload")
    assert node.systemctl("reload", "nodewarden.service")
    assert node.systemctl("restart", _UNIT), node.log(_UNIT)
    state = node.path("/var/lib/nodewarden/notify/state.json")
    wait_for(lambda: state.exists() and json.loads(state.read_text())["heartbeat_s"], "it", lambda: node.log(_UNIT))
    node.look("nodewarden", "ban", "192.0.2.77")
    for place in ("/srv/notify/got", "/var/lib/nodewarden/notify/noted"):
        path = node.path(place)
        wait_for(lambda path=path: path.exists() and "192.0.2.77" in path.read_text(), place, lambda: node.log(_UNIT))  # type: ignore[misc]
    assert node.path("/srv/notify/got").read_text().startswith("/services/SECRET {")
    channels = {one["name"]: one for one in node.ask("status")["notify"]}
    assert set(channels) == {"hook", "command"}
    assert "SECRET" not in node.log(_UNIT)
    assert node.try_("nodewarden", "notify", "test", "--all").returncode == 0
    node.configure()
    wait_for(lambda: node.unit(_UNIT, "ActiveState")["ActiveState"] == "inactive", "it to end", lambda: node.log(_UNIT))
    node.look("systemctl", "stop", "notify-server.service")
