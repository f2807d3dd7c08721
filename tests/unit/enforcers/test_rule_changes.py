"""Who changes rules of other tables: from notifications of nf_tables, whatever they hold."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.enforcers.netlink import attribute
from monitor.enforcers.nftables.rule_changes import MAX_CHANGES, RuleChanges

OURS, THEIRS = 77, 4242
NEW_RULE, NEW_TABLE, NEW_ELEMENTS, NEW_GENERATION = (10 << 8 | kind for kind in (6, 0, 12, 15))


def _message(kind: int, table: str, chain: str = "", family: int = 1, port: int = THEIRS) -> bytes:
    body = bytes([family, 0, 0, 0]) + attribute(1, table.encode() + b"\0") + attribute(2, chain.encode() + b"\0")
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, port) + body


def _end(process: str, pid: int = 99, port: int = THEIRS) -> bytes:
    body = bytes(4) + attribute(2, pid.to_bytes(4)) + attribute(3, process.encode() + b"\0")
    return struct.pack("=IHHII", 16 + len(body), NEW_GENERATION, 0, 1, port) + body


def _changes() -> RuleChanges:
    return RuleChanges(lambda table, chain: not chain.startswith("KUBE"))


def test_a_transaction_is_its_processs_and_counts_once() -> None:
    """Many rules are one change; what is not of interest, contents of sets and our own changes are none."""
    changes = _changes()
    for time_s, datagram in (
        (1.0, _message(NEW_RULE, "mine", "input") * 9),
        (1.0, _end("nft")),
        (2.0, _message(NEW_RULE, "filter", "KUBE-SERVICES", family=2) + _end("iptables-restor")),
        (3.0, _message(NEW_ELEMENTS, "mine") + _end("nft")),
        (4.0, _message(NEW_RULE, "mine", port=OURS) + _end("nodewarden", port=OURS)),
        (5.0, _message(NEW_TABLE, "mine") + _message(NEW_TABLE, "other", family=10) + _end("nft", 100)),
    ):
        changes.take(datagram, {OURS}, time_s)
    found = [(one.table, one.process, one.pid, one.count, one.first_s, one.last_s) for one in changes.listed()]
    assert found == [("inet mine", "nft", 100, 2, 1.0, 5.0), ("ip6 other", "nft", 100, 1, 5.0, 5.0)]


def test_after_lost_notifications_no_process_is_blamed() -> None:
    """The end of another transaction is not that of one whose end was lost."""
    changes = _changes()
    changes.take(_message(NEW_RULE, "mine"), (), 1.0)
    changes.forget_open()
    changes.take(_end("nft"), (), 2.0)
    assert not changes.listed()


def test_only_so_many_are_kept_and_names_are_harmless() -> None:
    """A program that makes tables without end pushes out the oldest; control characters of names are not kept."""
    changes = _changes()
    for number in range(MAX_CHANGES + 5):
        changes.take(_message(NEW_TABLE, f"t{number}\x1b[2J") + _end("a\x07b"), (), float(number))
    listed = changes.listed()
    assert (len(listed), listed[0].table, listed[0].process) == (MAX_CHANGES, "inet t5?[2J", "a?b")


@given(st.lists(st.binary(max_size=40) | st.sampled_from([_message(NEW_RULE, "mine")[:-3], _end("nft")[:-5]])))
@settings(max_examples=100)
def test_arbitrary_bytes_raise_nothing(parts: list[bytes]) -> None:
    """Cut and arbitrary messages are passed over."""
    changes = _changes()
    for kind in (NEW_RULE, NEW_TABLE, NEW_GENERATION, 3):
        whole = b"".join(struct.pack("=IHHII", 16 + len(part), kind, 0, 1, THEIRS) + part for part in parts)
        changes.take(whole, (), 1.0)
        changes.take(b"".join(parts), (), 1.0)
    assert len(changes.listed()) <= MAX_CHANGES
