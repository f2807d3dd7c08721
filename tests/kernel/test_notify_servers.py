"""Channels with the servers that operators run: Debian's Alertmanager and rsyslog understand what they are sent."""

import time
from pathlib import Path

import pytest

from monitor.notify.channel import Again
from monitor.notify.channels.alertmanager import AlertmanagerChannel
from monitor.notify.channels.syslog import SyslogChannel
from monitor.notify.message import Kind, Urgency
from monitor.notify.sections.alertmanager import AlertmanagerSettings
from monitor.notify.sections.syslog import Facility, LogFormat, SyslogSettings, Transport
from tests.support.list_server import certificate
from tests.support.log_servers import Alertmanager, Rsyslog, wait_until
from tests.support.messages import HOSTILE, hostile, item, message, place
from tests.support.redis_server import free_port

pytestmark = pytest.mark.kernel


def test_alertmanager_has_the_alerts_until_they_end(tmp_path: Path) -> None:
    """A ban, a problem and its end, hostile texts; a server of the cluster that was down gets them later."""
    now_s = time.time()
    first, second = Alertmanager(tmp_path / "first"), Alertmanager(tmp_path / "second")
    one = AlertmanagerChannel(
        "alerts",
        AlertmanagerSettings(urls=(first.url, second.url), generator="https://grafana.example/d/node"),
        place(tmp_path),
    )
    ban = message(item(time_s=now_s, until_s=now_s + 600))
    with first:
        with pytest.raises(Again, match="Connection refused"):
            one.send(ban)
        with second:
            one.send(ban)
            for server in (first, second):
                (alert,) = server.alerts()
                assert alert["labels"]["network"] == "192.0.2.7"
                assert alert["generatorURL"] == "https://grafana.example/d/node"
                assert alert["endsAt"].startswith(time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(now_s + 600)))
            problem = item("the disk is full", reason="the disk is full", time_s=now_s, until_s=0.0)
            one.send(message(problem, kind=Kind.PROBLEM, urgency=Urgency.CRITICAL))
            assert sorted(alert["labels"]["alertname"] for alert in first.alerts()) == [
                "NodewardenBan",
                "NodewardenProblem",
            ]
            one.send(message(problem, kind=Kind.PROBLEM_OVER, since_s=now_s))
            wait_until(lambda: len(first.alerts()) == 1)
            for text in HOSTILE:
                one.send(hostile(text))


@pytest.mark.parametrize("form", LogFormat)
def test_rsyslog_parses_the_records_of_every_transport(tmp_path: Path, form: LogFormat) -> None:
    """Host, severity, fields and text arrive in their places, over a socket, UDP, TCP and TLS; hostile texts too."""
    trusted = certificate(tmp_path, "127.0.0.1")
    server = Rsyslog(tmp_path / "rsyslog", trusted)
    ports = {Transport.UNIX: 0, Transport.UDP: server.udp, Transport.TCP: server.tcp, Transport.TLS: server.tls}
    ways = [
        SyslogSettings(transport=transport, path=str(server.socket), host="127.0.0.1", port=port, ca_file=str(trusted),
                       format=form, facility=Facility.LOCAL2)
        for transport, port in ports.items()
    ]  # fmt: skip
    with server:
        for way in ways:
            SyslogChannel("log", way, place(tmp_path)).send(message(item('quoted "]\\ text'), urgency=Urgency.WARNING))
        wait_until(lambda: len(server.records()) == 4)
        for record in server.records():
            assert (record["host"], record["app"], record["kind"]) == ("node1", "nodewarden", "ban")
            assert (record["severity"], record["facility"]) == ("warning", "local2")
            if form is LogFormat.CEF:
                assert record["text"].lstrip().startswith("CEF:0|nodewarden|nodewarden|")
                assert record["fields"] == "-"
            else:
                assert record["text"].lstrip(" \ufeff").startswith('quoted "]\\ text (until 2026-')
                assert 'network="192.0.2.7"' in record["fields"]
        for way in ways:
            for text in HOSTILE:
                SyslogChannel("log", way, place(tmp_path)).send(hostile(text))
        expected = 4 + 4 * len(HOSTILE) * 2
        wait_until(lambda: len(server.records()) >= expected)
        assert len(server.records()) == expected


def test_a_syslog_server_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    """Also over UDP, where the kernel reports that nobody listens; and a certificate with another name."""
    port = free_port()
    for transport in (Transport.UDP, Transport.TCP, Transport.TLS):
        section = SyslogSettings(transport=transport, host="127.0.0.1", port=port)
        with pytest.raises(Again, match="Connection refused"):
            SyslogChannel("log", section, place(tmp_path)).send(message())
    with pytest.raises(Again, match="No such file"):
        SyslogChannel("log", SyslogSettings(path=str(tmp_path / "none")), place(tmp_path)).send(message())
    other = certificate(tmp_path, "other.example")
    server = Rsyslog(tmp_path / "rsyslog", other)
    section = SyslogSettings(transport=Transport.TLS, host="127.0.0.1", port=server.tls, ca_file=str(other))
    with server, pytest.raises(Again, match="not valid"):
        SyslogChannel("log", section, place(tmp_path)).send(message())
    assert server.records() == []
