"""Jails: what fail2ban would run, and what of it cannot be run here."""

import re
from pathlib import Path

import pytest

from monitor.filters.definition import FilterError
from monitor.filters.fail2ban.jails import LONGEST_BAN_S, read_jails
from tests.unit.filters.fail2ban.support import jail_of, jails_of, write


def test_files_are_read_in_fail2bans_order(tmp_path: Path) -> None:
    """jail.conf, jail.d/*.conf, jail.local, jail.d/*.local: later ones win; only enabled jails are there."""
    found = jails_of(
        tmp_path,
        {
            "jail.conf": "[INCLUDES]\nbefore = paths.conf\n[DEFAULT]\nfilter = demo\nmaxretry = 1\nbantime = 1m\n"
            "findtime = 1m\nlogpath = %(demo_log)s\n[a]\n[b]\nenabled = true\n[c]\n",
            "paths.conf": "[DEFAULT]\ndemo_log = /var/log/demo.log\n",
            "jail.d/x.conf": "[a]\nenabled = yes\nmaxretry = 2\nbantime = 2m\nfindtime = 2m\n",
            "jail.local": "[a]\nbantime = 3m\nfindtime = 3m\n[b]\nenabled = false\n",
            "jail.d/y.local": "[a]\nfindtime = 4m\n",
            "jail.d/.hidden.conf": "broken",
        },
    )
    [jail] = found.jails
    assert (jail.name, jail.maxretry, jail.bantime_s, jail.findtime_s) == ("a", 2, 180, 240)
    assert jail.files == ("/var/log/demo.log",)
    assert (jail.fault, found.faults) == ("", ())


def test_what_nobody_sets_is_as_in_fail2bans_server(tmp_path: Path) -> None:
    """Without any option a jail has fail2ban's own defaults."""
    jail = jail_of(tmp_path, "")
    assert (jail.maxretry, jail.findtime_s, jail.bantime_s, jail.backend) == (3, 600, 600, "auto")
    assert (jail.timezone, jail.ignoreip) == ("", ())


def test_every_option_lands_in_its_field(tmp_path: Path) -> None:
    """Times are in seconds, `head` and `tail` go from paths, lists come apart."""
    options = """
          /var/log/web *.log tail
          /srv/log head
maxretry = 7
findtime = 1d 12h
bantime = 1w
ignoreip = 127.0.0.1/8, ::1 host.example
logtimezone = UTC+0200
logencoding = utf-8
protocol = all
backend = polling
"""
    jail = jail_of(tmp_path, options.lstrip("\n"))
    assert jail.files == ("/var/log/web.log", "/var/log/web *.log", "/srv/log")
    assert (jail.maxretry, jail.findtime_s, jail.bantime_s) == (7, 129_600, 604_800)
    assert jail.ignoreip == ("127.0.0.1/8", "::1", "host.example")
    assert (jail.timezone, jail.backend) == ("UTC+0200", "files")


def test_bans_for_ever_are_bans_for_a_year(tmp_path: Path) -> None:
    """fail2ban's -1, and what is longer than we ban, becomes 365 days, with a note."""
    for text in ("-1", "2y"):
        jail = jail_of(tmp_path, f"bantime = {text}\n")
        assert jail.bantime_s == LONGEST_BAN_S
        what = "a permanent ban" if text == "-1" else f"bantime {text}"
        assert f"{what} lasts 365 days here, the longest ban; offences after that ban again" in jail.notes


def test_the_journal_instead_of_files(tmp_path: Path) -> None:
    """backend systemd reads the journal: no files, the filter's journalmatch, and its logtype."""
    jail = jail_of(tmp_path, "backend = systemd[journalflags=1]\n", demo_local="[Definition]\nprefregex = <logtype>\n")
    assert jail.filter is not None
    assert jail.filter.prefregex == "journal"
    assert (jail.backend, jail.files, jail.journalmatch) == ("journal", (), (("_COMM=demo",),))
    assert any("journalflags" in note for note in jail.notes)


def test_a_jail_chooses_the_mode_of_its_filter(tmp_path: Path) -> None:
    """The usual default `filter = %(__name__)s[mode=%(mode)s]` works, and the reference says no more than it must."""
    found = jails_of(
        tmp_path,
        {
            "jail.conf": "[DEFAULT]\nenabled = true\nmode = normal\nfilter = demo[mode=%(mode)s]\nlogpath = /l\n"
            "[one]\n[two]\nmode = aggressive\n"
        },
    )
    one, two = found.jails
    assert one.filter is not None
    assert two.filter is not None
    assert one.filter.failregex == ("^bad <HOST>$",)
    assert two.filter.failregex == ("^bad <HOST>$", "^very bad <HOST>$")
    assert one.reference == f"{tmp_path}/filter.d/demo.conf"
    assert two.reference == f"{tmp_path}/filter.d/demo.conf[mode=aggressive]"
    assert (one.own_options, two.own_options) == ((), ())


def test_a_jail_changes_its_filter(tmp_path: Path) -> None:
    """Expressions of the jail stand instead of the filter's, which are `known`; other options pass through."""
    options = "failregex = %(known/failregex)s\n  ^own <HOST>$\nignoreregex = ^not %(__name__)s\nmaxlines = 5\n"
    options += "datepattern = %(known/datepattern)s\n  %%d\n"
    jail = jail_of(tmp_path, options, demo_local="[Definition]\ndatepattern = %%Y\n")
    assert jail.filter is not None
    assert jail.filter.failregex == ("^bad <HOST>$", "^own <HOST>$")
    assert jail.filter.ignoreregex == ("^not web",)
    assert (jail.filter.maxlines, jail.filter.datepattern) == (5, "%Y\n%d")
    assert jail.own_options == ("failregex", "ignoreregex", "maxlines", "datepattern")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("filter = gone\n", "gone.conf: no such filter"),
        ("filter = demo[x\n", "is not a filter"),
        ("filter =\n", "no filter"),
        ("logpath = %(gone)s\n", "jail.local:2: .*no option 'gone'"),
        ("logpath =\n", "no logpath"),
        ("maxretry = some\n", "maxretry 'some'"),
        ("maxretry = +-1\n", "maxretry"),
        ("bantime = long\n", "'long' is not a duration"),
        ("backend = telepathy\n", "backend 'telepathy'"),
        ("action = iptables[blocktype=RETURN]\n", "admits addresses"),
    ],
)
def test_a_fault_in_one_jail_leaves_the_others(tmp_path: Path, options: str, fault: str) -> None:
    """A jail that cannot run says why; the one beside it runs."""
    found = jails_of(
        tmp_path,
        {
            "jail.conf": "[DEFAULT]\nenabled = true\nfilter = demo\nlogpath = /l\n[bad]\n[good]\n",
            "jail.local": f"[bad]\n{options}",
        },
    )
    bad, good = found.jails
    assert (good.fault, found.faults) == ("", ())
    assert re.search(fault, bad.fault)


def test_fail2bans_own_log_is_left_alone(tmp_path: Path) -> None:
    """The recidive jail reads the bans of fail2ban, which ours are not."""
    jail = jail_of(tmp_path, "", recidive_conf="[Definition]\nfailregex = Ban <HOST>$\n")
    assert not jail.fault
    write(tmp_path, {"jail.local": "[web]\nfilter = recidive\n"})
    [jail] = read_jails(tmp_path).jails
    assert "bans.recidive" in jail.fault


def test_a_jail_of_which_nothing_is_known_is_a_fault(tmp_path: Path) -> None:
    """Where not even `enabled` can be read, the configuration itself has a fault, and the other jails run."""
    found = jails_of(tmp_path, {"jail.conf": "[a]\nenabled = %(gone)s\n[b]\nenabled=1\nfilter=demo\nlogpath=/l\n"})
    assert [jail.name for jail in found.jails] == ["b"]
    assert len(found.faults) == 1
    assert "jail.conf:2" in found.faults[0]


def test_missing_directories_are_faults(tmp_path: Path) -> None:
    """Without jail files there is no configuration at all; nor where none of them can be read."""
    for directory in (tmp_path, tmp_path / "gone"):
        with pytest.raises(FilterError, match=r"no jail\.conf or jail\.local"):
            read_jails(directory)
    (tmp_path / "jail.conf").mkdir()
    with pytest.raises(FilterError, match=r"jail\.conf: cannot be read: Is a directory"):
        read_jails(tmp_path)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ("usedns = yes\n", "never resolved"),
        ("ignorecommand = /bin/true <ip>\n", "ignorecommand"),
        ("logencoding = latin-1\n", "UTF-8"),
        ("bantime.increment = true\n", "bantime.increment"),
        ('action = iptables-multiport[port=ssh]\n   sendmail-whois[x="a, b]"]\n', "not run: sendmail-whois"),
        ("action = iptables-multiport\nport = 1000:2000\n", "all ports"),
        ("action = %(gone)s\n", "cannot be read"),
        ("filter = nomatch\nbackend = systemd\n", "whole journal"),
    ],
)
def test_what_cannot_be_taken_over_is_noted(tmp_path: Path, options: str, note: str) -> None:
    """Each such option leaves a sentence, and a jail without it does not."""
    others = {"nomatch_conf": "[Definition]\nfailregex = ^x <HOST>\n"}
    quiet = jail_of(tmp_path / "quiet", "usedns = no\naction = nftables-allports\nport = ssh\n", **others)
    assert quiet.notes == ()
    jails_of(tmp_path, {"jail.conf": ""})
    write(tmp_path, {"filter.d/nomatch.conf": others["nomatch_conf"]})
    write(tmp_path, {"jail.conf": "[web]\nenabled=1\nfilter=demo\nlogpath=/l\n", "jail.local": f"[web]\n{options}"})
    [jail] = read_jails(tmp_path).jails
    assert any(note in text for text in jail.notes), jail.notes
    assert not jail.fault


def test_longer_bans_for_all_are_noted_once(tmp_path: Path) -> None:
    """bantime.increment in [DEFAULT] is no note of each jail."""
    found = jails_of(
        tmp_path,
        {"jail.conf": "[DEFAULT]\nbantime.increment = true\nignoreip = ::1\n[a]\nenabled=1\nfilter=demo\nlogpath=/l"},
    )
    assert len(found.notes) == 1
    assert not any("increment" in note for note in found.jails[0].notes)
    assert found.ignoreip == ("::1",)


@pytest.mark.parametrize(
    ("options", "is_udp"),
    [
        ("protocol = tcp\n", False),
        ("protocol = udp\n", True),
        ('action = nftables[protocol="udp"]\n', True),
        ("action = nftables[protocol=tcp]\n  nftables[protocol=udp]\nprotocol = tcp\n", False),
        ("protocol = all\n", False),
    ],
)
def test_udp_alone_is_the_reason(tmp_path: Path, options: str, is_udp: bool) -> None:
    """Where only UDP is banned, the addresses in the log prove nothing, and that is the reason."""
    jail = jail_of(tmp_path, options)
    assert jail.filter is not None
    assert ("UDP" in jail.filter.evidence.doubt) is is_udp


def test_thousands_of_jails_are_cut(tmp_path: Path) -> None:
    """A file that enables more jails than anybody has is read up to a bound, which is said."""
    sections = "".join(f"[j{n}]\n" for n in range(1100))
    found = jails_of(tmp_path, {"jail.conf": f"[DEFAULT]\nenabled = true\n{sections}"})
    assert len(found.jails) == 1000
    assert "only the first 1000" in found.faults[0]
