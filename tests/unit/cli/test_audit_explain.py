"""What `audit explain` prints of a port."""

import pytest
from click.testing import CliRunner

from monitor.audit.findings import RuleRef, Zone
from monitor.audit.reach import Listener, Outcome, Probe, Protocol, Reach, Step, Verdict
from monitor.cli import audit_explain
from monitor.cli.audit_explain import _say, explain

_HOSTILE = "\x1b[2J\u202e"
_RULE = RuleRef(family="ip", table="nat", chain="DOCKER", handle=7, text="tcp dport 80 dnat to 172.17.0.2:80")


def _shown(reach: Reach, capsys: pytest.CaptureFixture[str]) -> list[str]:
    _say(reach, list(reach.verdicts), "tcp", 80)
    return capsys.readouterr().out.splitlines()


def test_listeners_and_verdicts_are_written_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Whose rule it is, where it is translated to, what listens where, and what is not in the copy."""
    reach = Reach(
        listeners=(
            Listener(protocol="tcp", address="0.0.0.0", port=80, process="docker-proxy", pid=7, unit="docker.service"),
            Listener(protocol="tcp", address="::", port=80, is_v6_only=True),
        ),
        verdicts=(
            Verdict(
                probe=Probe(zone=Zone.WORLD, protocol="tcp", address="192.0.2.1", port=80),
                outcome=Outcome.REACHED,
                to_address="172.17.0.2",
                to_port=80,
                path=(Step(rule=_RULE, verdict="dnat"),),
            ),
            Verdict(
                probe=Probe(zone=Zone.NODES, protocol="tcp", address="2001:db8::1", port=80),
                outcome=Outcome.DROPPED,
                path=(Step(rule=RuleRef(family="ip6", table="filter", chain="INPUT"), verdict="policy drop"),),
            ),
        ),
        blind=("an XDP program filters eth0",),
    )
    assert _shown(reach, capsys) == [
        "tcp/80",
        "  docker-proxy (pid 7) of docker.service listens at all addresses of IPv4",
        "  a process that is not known listens at all addresses of IPv6",
        "  rules translate it to 172.17.0.2:80",
        "  not in the copy: an XDP program filters eth0",
        "  from the world to 192.0.2.1: reached, sent on to 172.17.0.2:80",
        "    ip nat DOCKER [docker]: tcp dport 80 dnat to 172.17.0.2:80 (handle 7)",
        "  from neighbours to [2001:db8::1]: dropped",
        "    ip6 filter INPUT [operator]: policy drop",
    ]


def test_a_port_that_only_the_node_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    """A listener on loopback; and names of processes and rules reach no terminal as they are."""
    local = Listener(protocol="tcp", address="127.0.0.1", port=80, process=_HOSTILE, pid=9)
    shown = _shown(Reach(listeners=(local,)), capsys)
    assert shown[-1] == "  only the node itself can reach it"
    assert "\x1b" not in "".join(shown)
    assert "\u202e" not in "".join(shown)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["53"], ("tcp", 53)),
        (["53", "--protocol", "udp"], ("udp", 53)),
        (["udp/53"], ("udp", 53)),
        (["53/udp"], ("udp", 53)),
        (["udp/192.0.2.1:53", "--protocol", "udp"], ("udp", 53)),
        (["udp/53", "--protocol", "tcp"], None),
    ],
)
def test_a_port_is_named_as_an_audit_prints_it(
    words: list[str], expected: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol is part of the port, or an option; two that differ are refused."""
    asked: list[tuple[str, int]] = []

    def explain_port(protocol: Protocol, port: int, **_: object) -> Reach:
        asked.append((protocol, port))
        probe = Probe(zone=Zone.WORLD, protocol=protocol, address="192.0.2.1", port=port)
        return Reach(verdicts=(Verdict(probe=probe, outcome=Outcome.DROPPED),))

    monkeypatch.setattr(audit_explain, "explain_port", explain_port)
    done = CliRunner().invoke(explain, words)
    assert (done.exit_code, asked) == ((0, [expected]) if expected else (2, []))


@pytest.mark.parametrize(
    "target", ["0", "65536", "http", "1.2.3.4", "1.2.3:80", "٣", "-1", "[::1]", ":", "80:", "udp/", "/udp", "sctp/80"]
)
def test_what_is_no_port_is_refused(target: str) -> None:
    """Exit code 2, before anything is read."""
    assert CliRunner().invoke(explain, ["--", target]).exit_code == 2
