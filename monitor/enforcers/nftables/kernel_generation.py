"""The number of the kernel's rules: each transaction of nf_tables in this network namespace raises it.

While it is the same, nobody changed a rule or a set (nf_tables_commit in net/netfilter/nf_tables_api.c). Elements that
expire leave it as it is, and so does a transaction that is refused or changes nothing.
"""

from monitor.enforcers.netlink import NFPROTO_INET, NFTABLES, NLM_F_REQUEST, NetlinkRequest, attributes, nfgen_header
from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.model.errors import SYSTEM_FAULTS

_GET_GENERATION = NFTABLES | 16
_ID = 1
"""NFTA_GEN_ID"""
_BODY_BYTES = 4


def read_generation(link: NetlinkSocket) -> int | None:
    """Return the number; None where the kernel does not say."""
    try:
        (answer,) = link.query([NetlinkRequest(_GET_GENERATION, NLM_F_REQUEST, nfgen_header(NFPROTO_INET))])
    except SYSTEM_FAULTS:
        return None
    if isinstance(answer, int):
        return None
    found = dict(attributes(answer.body, _BODY_BYTES)).get(_ID, b"")
    return int.from_bytes(found, "big") if found else None


class KernelGeneration:
    """Asks over a socket of its own, which stays open."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._link: NetlinkSocket | None = None

    def read(self) -> int | None:
        """Return the number; None where the kernel does not say."""
        try:
            self._link = self._link or NetlinkSocket()
        except SYSTEM_FAULTS:
            return None
        number = read_generation(self._link)
        if number is None:
            self.close()
        return number

    def close(self) -> None:
        """Close the socket."""
        link, self._link = self._link, None
        if link:
            link.close()
