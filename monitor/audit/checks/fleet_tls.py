"""Bans are shared over a connection that others can read or write."""

from collections.abc import Iterator

from monitor.audit.check import Check
from monitor.audit.facts import Facts, Part
from monitor.audit.findings import Finding, Severity
from monitor.fleet.redis.address import read_address

_LOOPBACK = ("localhost", "127.", "::1")


def _judge(check: Check, facts: Facts) -> Iterator[Finding]:
    own = facts.own
    if not own.fleet_url:
        yield check.passed("this node is in no fleet")
        return
    try:
        address = read_address(own.fleet_url)
    except ValueError as error:
        yield check.unknown("fleet.url", f"fleet.url cannot be read: {error}")
        return
    far = [str(seed) for seed in address.seeds if not seed.path and not seed.host.startswith(_LOOPBACK)]
    if far and not address.is_tls:
        yield check.fail("fleet.url", f"no TLS to {', '.join(far)[:512]}", remedy="Use rediss:// in fleet.url.")
    if (own.fleet_user or address.username) in ("", "default"):
        yield check.fail(
            "fleet.username",
            "this node is the default user of the server, who may do everything there",
            severity=None if far else Severity.MEDIUM,
            remedy="Make a user with `nodewarden fleet init`, name it in fleet.username, and disable the default user.",
        )


CHECK = Check(
    id="fleet-tls",
    title="The fleet's server is reached with TLS, as a user of its own",
    reason="What a host in between adds is banned on every node that takes bans from the fleet.",
    severity=Severity.HIGH,
    remedy="Use rediss:// in fleet.url, and a user of `nodewarden fleet init`.",
    false_positives="Servers on loopback, or behind a tunnel that encrypts.",
    needs=(Part.OWN,),
    judge=_judge,
)
