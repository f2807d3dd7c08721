"""Nobody gets a third party banned by what they write into a log."""

import functools
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import msgspec
import pytest

from bench.peers import fail2ban
from monitor.filters.definition import FilterDefinition, FilterError
from monitor.filters.evidence import doubt, standing_doubt
from monitor.filters.fail2ban.filters import read_filter
from monitor.filters.library import built_in_names
from monitor.model.writers import FileWriter, Grant, Holder, JournalWriter, ordinary_reason
from tests.forgers.log_attacks import (
    Row,
    attack_by_writers,
    attack_client_fields,
    attack_imported,
    client_fields,
    foreign_writers,
)
from tests.support.fail2ban_samples import samples
from tests.support.needs import cannot_run
from tests.support.writers import OWN_UID, VOUCHED, genuine
from tests.unit.filters.builtin_support import definition_of, references

by_reference = pytest.mark.parametrize("reference", references())
_TESTS = fail2ban.HOME / "usr/lib/python3/dist-packages/fail2ban/tests/files/logs"


@functools.cache
def _attacked(reference: str) -> list[Row]:
    return attack_client_fields(reference)


def test_every_filter_is_attacked() -> None:
    """A new filter declares which fields a client chooses."""
    assert set(client_fields()) == set(built_in_names())


@by_reference
def test_no_client_forges(reference: str) -> None:
    """Nothing that a client sends is a proven failure of the victim; where a filter proves, it is none at all."""
    rows = _attacked(reference)
    assert sum(row.lines for row in rows) > 20
    assert [row for row in rows if row.proven] == []
    if definition_of(reference).evidence.writers is not None:
        assert [row for row in rows if row.spoofable] == []


def test_the_attacks_are_real() -> None:
    """Where an application writes newlines as they are sent, the same attacks do get the victim shunned."""
    for name in ("gitea", "kubelet", "nginx-auth-errors"):
        assert sum(row.spoofable for row in _attacked(name)) > 0, name


@by_reference
def test_no_other_writer_proves(reference: str) -> None:
    """Whoever else writes genuine lines, with any account, unit and transport, proves nothing."""
    rule = definition_of(reference).evidence
    assert [writer for writer in foreign_writers() if not doubt(rule, writer)] == []
    assert all(not doubt(rule, writer) for writer in genuine(definition_of(reference)))


@by_reference
def test_one_wrong_fact_is_enough(reference: str) -> None:
    """A writer that differs from the application in a single fact, or of which one is not known, proves nothing."""
    definition = definition_of(reference)
    entries = [writer for writer in genuine(definition) if isinstance(writer, JournalWriter)]
    wrong: dict[str, tuple[object, ...]] = {
        "transport": ("", "kernel", "audit", "driver"),
        "unit": ("", "session-3.scope", "user@.service", "ssh-x.service", "docker-0f.scope"),
        "executable": ("", "/usr/bin/logger", "/tmp/sshd", "/usr/sbin/sshd (deleted)"),
        "uid": (None, 1, 33, 999, 1000, 65534),
        "is_contained": (True,),
        "is_local": (False,),
    }
    changes = [(name, value) for name, values in wrong.items() for value in values]
    for writer, (name, value) in product(entries[:3], changes):
        assert doubt(definition.evidence, msgspec.structs.replace(writer, **{name: value})), (writer, name, value)
        assert doubt(definition.evidence, writer, is_cut=True)


@by_reference
def test_who_else_may_write_a_file_spoils_it(reference: str) -> None:
    """Any account, group or link that leads elsewhere: the file proves nothing."""
    rule = definition_of(reference).evidence
    for file in (writer for writer in genuine(definition_of(reference)) if isinstance(writer, FileWriter)):
        holders = [(Holder.ACCOUNT, 33), (Holder.ACCOUNT, 1000), (Holder.GROUP, 4), (Holder.GROUP, 100)]
        for (holder, number), direct in product([*holders, (Holder.EVERYBODY, 0)], (True, False)):
            grants = (Grant(holder, number, is_direct=direct),)
            assert doubt(rule, msgspec.structs.replace(file, grants=grants))
        assert doubt(rule, msgspec.structs.replace(file, real_path="/var/log/syslog"))
        assert doubt(rule, msgspec.structs.replace(file, path=f"{file.path}/../auth.log"))
        assert doubt(rule, msgspec.structs.replace(file, path=file.path.replace("/log", "/log/x", 1)))
        assert doubt(rule, msgspec.structs.replace(file, fault="not known"))


def test_the_application_s_own_account_may_write_its_file() -> None:
    """An account that belongs to the application alone is no doubt; nor is a log daemon that may rename files."""
    rule = definition_of("vsftpd").evidence
    assert rule.writers is not None
    own = msgspec.structs.replace(
        rule.writers, uids=frozenset((0, OWN_UID)), log_daemon=frozenset({(Holder.GROUP, 104)})
    )
    rule = msgspec.structs.replace(rule, writers=own)
    path = "/var/log/vsftpd.log"
    indirect, direct = Grant(Holder.GROUP, 104, is_direct=False), Grant(Holder.GROUP, 104)
    assert not doubt(rule, FileWriter(path, path, (Grant(Holder.ACCOUNT, OWN_UID), indirect)))
    assert doubt(rule, FileWriter(path, path, (direct,)))


def test_what_the_operator_vouches_for() -> None:
    """Vouched lines still prove nothing if they were cut, or if containers or people can have written them."""
    for writer in foreign_writers():
        assert bool(doubt(VOUCHED, writer)) is bool(ordinary_reason(writer))
    assert doubt(VOUCHED, FileWriter("/x", "/x", (Grant(Holder.ACCOUNT, 1000),)))
    assert not doubt(VOUCHED, FileWriter("/x", "/x", (Grant(Holder.ACCOUNT, 33),)))
    assert doubt(VOUCHED, FileWriter("/x", "/x"), is_cut=True)
    assert doubt(VOUCHED, None)


def test_what_is_known_before_a_line_was_read() -> None:
    """A detector that only reads what syslog writes only shuns, and says so; one that reads the journal can prove."""
    sshd, nginx = definition_of("sshd").evidence, definition_of("nginx-scan").evidence
    assert standing_doubt(sshd, ()) == ""
    assert "/var/log/auth.log" in standing_doubt(sshd, ("/var/log/auth.log", "/var/log/secure"))
    assert standing_doubt(nginx, ("/var/log/nginx/*access.log",)) == ""
    assert standing_doubt(nginx, ("/srv/nginx/access.log",))
    assert standing_doubt(nginx, ())
    assert standing_doubt(definition_of("gitea").evidence, ()) == "the user name is written with its newlines"
    assert standing_doubt(VOUCHED, ("/var/log/auth.log",)) == ""


@pytest.fixture(scope="module")
def package() -> Path:
    """Return where Debian's fail2ban is unpacked."""
    if not fail2ban.fetch():
        cannot_run("Debian's fail2ban cannot be fetched (apt-get download fail2ban)")
    return fail2ban.HOME


def _imported(package: Path) -> Iterator[tuple[str, FilterDefinition, list[str]]]:
    for path in sorted((package / "etc/fail2ban/filter.d").glob("*.conf")):
        if (_TESTS / path.stem).exists():
            try:
                definition = read_filter(package / "etc/fail2ban", path.stem)
            except FilterError:
                continue
            matching = (one.line for one in samples(_TESTS, path.stem) if one.expected.get("match"))
            yield path.stem, definition, list(dict.fromkeys(matching))[:5]


def test_no_imported_filter_proves(package: Path) -> None:
    """Lines that a filter of fail2ban takes for failures prove nothing, even where sshd itself writes them."""
    rows = [attack_imported(*one) for one in _imported(package)]
    assert len(rows) > 60
    assert sum(row.spoofable for row in rows) > 500
    assert [row for row in rows if row.proven] == []


@by_reference
def test_genuine_lines_by_others_only_shun(reference: str) -> None:
    """The whole line, as the application writes it, by `logger`, from a pod, or through syslog: never proven."""
    line = "Nov 23 17:33:52 web1 sshd[2101]: Failed password for root from 192.0.2.66 port 40112 ssh2"
    row = attack_by_writers(reference, definition_of(reference), [line], "local writers")
    assert row.proven == 0
