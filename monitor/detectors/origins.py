"""What counts as one source: an IPv4 address, or an IPv6 prefix, since one host can use every address of it."""

from collections.abc import Iterable

from monitor.detectors.limits import Limits
from monitor.model.addresses import Address, Network, host, network_of
from monitor.model.alerts import UNKNOWN_PARTY, Alert, Evidence, Party, Strength


def origin_of(source: Address, ipv6_prefix: int) -> Network:
    """Return the network that a ban of this source covers."""
    return host(source) if len(source) == 4 else network_of(source, ipv6_prefix)


def example_of(origin: bytes, sources: Iterable[Address]) -> Address:
    """Return one of the sources that this origin stands for."""
    return origin if len(origin) == 4 else next(source for source in sources if source.startswith(origin))


def origin_alert(
    name: str,
    limits: Limits,
    source: Address,
    time_s: float,
    count: int,
    what: str,
    *,
    sample: tuple[str, ...] = (),
    handshakes: bytes | None = None,
    last: str = "",
    ours: Party = UNKNOWN_PARTY,
) -> Alert:
    """Make an alert about the origin of a source.

    `handshakes` is the key in Proofs of the handshakes counted, `last` the packet or connection that counted last,
    `ours` what it was sent to.
    """
    first_s = time_s - limits.findtime_s
    evidence = Evidence(count, limits.maxretry, limits.findtime_s, first_s, time_s, what, sample, last)
    network = origin_of(source, limits.ipv6_prefix)
    return Alert(
        name,
        time_s,
        source,
        network,
        network.is_host,
        Strength.SPOOFABLE,
        evidence,
        handshakes=handshakes,
        ours=ours,
    )
