"""The options of jails: each has a place here, or is reported."""

from pathlib import Path

import pytest

from monitor.filters.fail2ban.export import translate
from monitor.filters.fail2ban.unsupported import ALL_PORTS, WITHOUT_COUNTERPART
from tests.unit.filters.fail2ban.support import jail_of, jails_of


def test_networks_in_files(tmp_path: Path) -> None:
    """`ignoreip = file:PATH` brings what the file lists; one that cannot be read is reported."""
    listed = tmp_path / "listed"
    listed.write_text("10.0.0.1, 10.1.0.0/16 # the office\n; 192.0.2.9\n#x\n2001:db8::1\tgate.example\n")
    more = tmp_path / "more"
    more.write_text("::1")
    big = tmp_path / "big"
    big.write_bytes(b"10.0.0.1\n" * 200_000)
    found = jails_of(tmp_path, {"jail.conf": f"[DEFAULT]\nignoreip = 127.0.0.1/8 file:{listed} file://{more}\n"})
    assert found.ignoreip == ("127.0.0.1/8", "10.0.0.1", "10.1.0.0/16", "2001:db8::1", "gate.example", "::1")
    assert found.faults == ()
    for name in (str(big), "/nowhere", "relative", "/dev/zero", ""):
        jail = jail_of(tmp_path, f"ignoreip = ::1 file:{name}\n")
        assert jail.ignoreip == ("::1",)
        assert any(f"ignoreip file:{name}" in note for note in jail.notes), name
        found = jails_of(tmp_path, {"jail.conf": f"[DEFAULT]\nignoreip = file:{name} ::1\n"})
        assert (found.ignoreip, len(found.faults)) == (("::1",), 1)


def test_jails_without_logs(tmp_path: Path) -> None:
    """`skip_if_nologs` is known, and without `systemd_if_nologs` files are never replaced by the journal."""
    assert not jail_of(tmp_path, "").skip_if_nologs
    assert jail_of(tmp_path, "skip_if_nologs = true\n").skip_if_nologs
    assert jail_of(tmp_path, "systemd_if_nologs = true\n").backend == "auto"
    assert jail_of(tmp_path, "systemd_if_nologs = false\n").backend == "files"


_MAPPED = frozenset(
    [
        "enabled",
        "filter",
        "logpath",
        "skip_if_nologs",
        "systemd_if_nologs",
        "logtimezone",
        "ignoreip",
        "bantime",
        "findtime",
        "maxretry",
        "backend",
        "protocol",
        "prefregex",
        "failregex",
        "ignoreregex",
        "maxlines",
        "datepattern",
        "journalmatch",
        "bantime.increment",
        "bantime.factor",
        "bantime.formula",
        "bantime.multipliers",
        "bantime.maxtime",
        "bantime.rndtime",
        "bantime.overalljails",
    ]
)
JAIL_CONF_5 = frozenset(
    [
        "filter",
        "logpath",
        "skip_if_nologs",
        "systemd_if_nologs",
        "logencoding",
        "logtimezone",
        "banaction",
        "banaction_allports",
        "action",
        "ignoreself",
        "ignoreip",
        "ignorecommand",
        "ignorecache",
        "bantime",
        "findtime",
        "maxretry",
        "backend",
        "usedns",
        "prefregex",
        "failregex",
        "ignoreregex",
        "maxmatches",
        "maxlines",
        "datepattern",
        "journalmatch",
        "destemail",
        "sender",
        "mta",
        "protocol",
        "chain",
        "port",
        "enabled",
    ]
)
"""The options that jail.conf(5) of 1.1.1 describes, and those of `[DEFAULT]` in its jail.conf."""
_REPORTED = {
    "logencoding": "latin1",
    "banaction": "cloudflare",
    "banaction_allports": "cloudflare\naction = %(banaction_allports)s",
    "action": "cloudflare",
    "ignoreself": "false",
    "ignorecommand": "/bin/x",
    "usedns": "no",
    "port": "ssh",
}


def test_every_option_is_mapped_or_reported(tmp_path: Path) -> None:
    """What jail.conf(5) and `[DEFAULT]` know has a place here, or is named where an administrator sets it."""
    shipped = "[DEFAULT]\nbanaction = iptables\nbanaction_allports = iptables-allports\nport = 0:65535\n"
    shipped += 'action = %(banaction)s[port="%(port)s"]\n'
    for name, value in {**_REPORTED, **dict.fromkeys(WITHOUT_COUNTERPART, "7")}.items():
        before, after = (
            jails_of(
                tmp_path,
                {
                    "jail.conf": f"{shipped}[web]\nenabled = true\nfilter = demo\nlogpath = /l\n",
                    "jail.d/own.local": f"[DEFAULT]\n{option}",
                },
            ).jails[0]
            for option in ("", f"{name} = {value}\n")
        )
        assert (after.notes, after.filter, after.ports) != (before.notes, before.filter, before.ports), name
    assert {*_MAPPED, *_REPORTED, *WITHOUT_COUNTERPART} >= JAIL_CONF_5


@pytest.mark.parametrize(
    ("options", "ports"),
    [
        ("port = ssh", ("tcp/22",)),
        ("port = http,https, 8080", ("tcp/80", "tcp/443", "tcp/8080")),
        ("port = 5060:5061\nprotocol = udp", ("udp/5060-5061",)),
        ("port = 5060\nprotocol = tcp,udp", ("5060",)),
        ("port = 0:65535", ()),
        ("port = 1000:2000", ()),
        ("port = no-such-service-here", ()),
        ("port = ssh,all", ()),
        ("port = 99999", ()),
        ("port = ssh\nprotocol = all", ()),
        ("port = ssh\nbanaction = nftables[type=multiport]", ("tcp/22",)),
        ("port = ssh\nbanaction = nftables-allports", ()),
        ("port = ssh\nbanaction = route", ()),
        ("port = ssh\nbanaction = sendmail-whois", ()),
        ('port = ssh\naction = nftables-multiport[port="25,465", protocol=tcp]', ("tcp/25", "tcp/465")),
        ("port = ssh\naction = iptables[port=25]\n  iptables-allports[name=x]", ()),
    ],
)
def test_ports(tmp_path: Path, options: str, ports: tuple[str, ...]) -> None:
    """Bans are limited to the ports of actions that know ports; to all where that cannot be said."""
    action = '%(banaction)s[port="%(port)s", protocol="%(protocol)s", chain="INPUT"]'
    default = f"[DEFAULT]\nbanaction = iptables-multiport\nprotocol = tcp\nport = 0:65535\naction = {action}\n"
    jail = f"[web]\nenabled = true\nfilter = demo\nlogpath = /l\n{options}\n"
    [found] = jails_of(tmp_path, {"jail.conf": default + jail}).jails
    assert found.ports == ports
    text = translate(jails_of(tmp_path, {"jail.conf": default + jail}), ()).text
    assert ("ports:" in text, ALL_PORTS in text) == (bool(ports), ALL_PORTS in found.notes)
    assert not (ports and ALL_PORTS in found.notes)
