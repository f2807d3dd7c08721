"""What the answer to a probe means, and which rules are shown; and whose sockets are read."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.audit.findings import Zone
from monitor.audit.kernel import sockets
from monitor.audit.kernel.copied import Copy, Dump, prepare_copy
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.job import Answer, TraceStep
from monitor.audit.kernel.sockets import parse_sockets, read_sockets
from monitor.audit.kernel.verdicts import NO_RULE, NOTHING_LISTENS, judge_answer, most_open
from monitor.audit.reach import Outcome, Probe, Verdict
from monitor.model.errors import MalformedRecord

_TEXT = b"""table ip filter { # handle 1
\tchain INPUT { # handle 1
\t\ttype filter hook input priority filter; policy drop;
\t\tcounter jump ufw # handle 2
\t\tcounter jump late # handle 3
\t\treject with icmp type admin-prohibited # handle 4
\t}

\tchain ufw { # handle 5
\t\tct state invalid drop # handle 6
\t}

\tchain late { # handle 7
\t\ttcp dport 22 accept # handle 8
\t}
}
table ip nat { # handle 2
\tchain pre { # handle 1
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\ttcp dport 80 dnat to 10.0.0.1:8080 # handle 2
\t}

\tchain post { # handle 3
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\tmasquerade # handle 4
\t}
}
"""
_PROBE = Probe(zone=Zone.WORLD, protocol="tcp", address="192.0.2.1", port=22)


def _copy() -> Copy:
    return prepare_copy(Dump(text=_TEXT))


def _step(table: str, chain: str, position: int, verdict: str) -> TraceStep:
    return TraceStep(family="ip", table=table, chain=chain, position=position, verdict=verdict)


def _judge(answer: Answer) -> Verdict:
    return judge_answer(_copy(), _PROBE, answer, has_listener=True)


def test_the_path_has_what_decides_and_how_it_got_there() -> None:
    """A chain that was left without a verdict is not shown, and neither is what only happens on the way out."""
    steps = [
        _step("nat", "pre", -1, "accept"),
        _step("filter", "INPUT", 0, "jump ufw"),
        _step("filter", "INPUT", 1, "jump late"),
        _step("filter", "late", 0, "accept"),
        _step("nat", "post", 0, "accept"),
        _step("gone", "x", 0, "drop"),
    ]
    found = _judge(Answer(kind="answered", steps=steps))
    assert found.outcome is Outcome.REACHED
    assert [(step.rule.chain, step.rule.handle, step.verdict) for step in found.path] == [
        ("INPUT", 3, "jump late"),
        ("late", 8, "accept"),
    ]


@pytest.mark.parametrize(
    ("answer", "outcome", "why"),
    [
        (Answer(kind="answered"), Outcome.REACHED, ""),
        (Answer(kind="arrived"), Outcome.REACHED, ""),
        (Answer(kind="left", to_address="10.0.0.1", to_port=8080), Outcome.REACHED, ""),
        (Answer(kind="refused", steps=[_step("filter", "INPUT", 2, "drop")]), Outcome.REJECTED, ""),
        (Answer(steps=[_step("filter", "INPUT", 2, "drop")]), Outcome.DROPPED, ""),
        (Answer(steps=[_step("filter", "INPUT", -1, "drop")]), Outcome.DROPPED, ""),
        (Answer(), Outcome.DROPPED, NO_RULE),
        (Answer(kind="unbound"), Outcome.UNKNOWN, "its listener could not be copied"),
        (Answer(kind="unsure"), Outcome.UNKNOWN, "no rule decided, and not all of the node could be copied"),
    ],
)
def test_each_answer_has_a_meaning(answer: Answer, outcome: Outcome, why: str) -> None:
    """What arrives is reached, an error is a rejection, and what is missing in the copy makes it unknown."""
    found = _judge(answer)
    assert (found.outcome, found.why) == (outcome, why)
    assert found.to_address == answer.to_address


def test_a_packet_for_a_program_is_unknown() -> None:
    """Nobody reads the queue in the copy."""
    found = _judge(Answer(steps=[_step("filter", "late", 0, "queue")]))
    assert found.outcome is Outcome.UNKNOWN
    assert "nfqueue" in found.why


def test_a_reset_where_nobody_listens_is_no_rule() -> None:
    """A port without translation and without a listener is closed by nobody."""
    found = judge_answer(_copy(), _PROBE, Answer(kind="reset"), has_listener=False)
    assert (found.outcome, found.why) == (Outcome.REJECTED, NOTHING_LISTENS)


def test_the_more_open_of_two_verdicts_counts() -> None:
    """Pods behind one bridge may reach what those behind another do not; what is unknown is no closed port."""
    order = (Outcome.DROPPED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.REACHED)
    verdicts = [Verdict(probe=_PROBE, outcome=outcome) for outcome in order]
    for number, less in enumerate(verdicts):
        for more in verdicts[number:]:
            assert most_open(less, more) == most_open(more, less) == more


_STEPS = st.builds(
    TraceStep,
    family=st.sampled_from(["ip", ""]),
    table=st.sampled_from(["filter", "nat", "x"]),
    chain=st.sampled_from(["INPUT", "ufw", "late", "pre", "post", ""]),
    position=st.integers(-3, 5),
    verdict=st.sampled_from(["accept", "drop", "jump ufw", "goto late", "jump ", "queue", "return", "continue", ""]),
)


@given(st.lists(_STEPS, max_size=12), st.sampled_from(["", "answered", "left", "refused", "reset"]))
def test_any_trace_gives_a_verdict(steps: list[TraceStep], kind: str) -> None:
    """A packet without an answer is never reached, one with an answer always."""
    found = _judge(Answer(kind=kind, steps=steps))  # type: ignore[arg-type]
    assert (found.outcome is Outcome.REACHED) == (kind in ("answered", "left"))


_TABLE = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n"
    "   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n"
    "   2: nonsense:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0\n"
    "   3: 0100007F:0017 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 4714 1 0\n"
)


def test_sockets_and_their_processes_are_read(tmp_path: Path) -> None:
    """Address and port from the kernel's table, process and unit from the one that has the socket open."""
    for place in ("self/net", "12/fd", "9/fd"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "self/net/tcp").write_text(_TABLE)
    (tmp_path / "12/fd/3").symlink_to("socket:[4712]")
    (tmp_path / "12/comm").write_text("web\x1b[2J\n")
    (tmp_path / "12/cgroup").write_text("0::/system.slice/web.service\n")
    (tmp_path / "9/fd/3").symlink_to("socket:[4711]")
    (tmp_path / "9/cgroup").write_text(f"0::/kubepods/cri-containerd-{'ab' * 32}.scope\n")
    local, web = read_sockets(tmp_path)
    assert (local.address, local.port, local.pid, local.unit) == ("127.0.0.1", 22, 9, "container abababababab")
    assert (web.address, web.port, web.pid, web.unit) == ("0.0.0.0", 8080, 12, "web.service")
    assert web.process.startswith("web")
    assert "\x1b" not in web.process


@given(st.lists(st.one_of(st.text(max_size=80), st.sampled_from(_TABLE.splitlines())), max_size=8))
def test_any_table_of_sockets_is_read(lines: list[str]) -> None:
    """What the kernel does not write is skipped."""
    list(parse_sockets(lines, "tcp", "0A"))
    list(parse_sockets(lines, "udp", "07"))


def test_more_sockets_than_are_read_are_no_short_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out would look closed: then nothing is judged."""
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/tcp").write_text(_TABLE)
    monkeypatch.setattr(sockets, "_MAX_SOCKETS", 1)
    with pytest.raises(JudgeError, match="more than 1 sockets of tcp"):
        read_sockets(tmp_path)


def test_a_socket_that_takes_ipv6_only_is_known_by_the_kernel() -> None:
    """The tables do not say it; what the kernel cannot answer is left out, and the rest is used."""
    with socket.socket(socket.AF_INET6) as narrow, socket.socket(socket.AF_INET6) as wide:
        for opened, is_narrow in ((narrow, 1), (wide, 0)):
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, is_narrow)
            opened.bind(("::", 0))
            opened.listen()
        found = {one.port: one.is_v6_only for one in read_sockets() if one.protocol == "tcp"}
        assert found[narrow.getsockname()[1]]
        assert not found[wide.getsockname()[1]]


def test_without_an_answer_sockets_are_read_from_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel without sock_diag, or one that answers nonsense."""
    (tmp_path / "self/net").mkdir(parents=True)
    (tmp_path / "self/net/tcp").write_text(_TABLE)
    for wrong in (FileNotFoundError(), MalformedRecord("netlink"), b"short"):

        def answer(*_: int, wrong: Exception | bytes = wrong) -> Iterator[bytes]:
            if isinstance(wrong, bytes):
                yield wrong
            else:
                raise wrong

        monkeypatch.setattr(sockets, "dump_sockets", answer)
        assert [one.port for one in read_sockets(tmp_path)] == [22, 8080]
