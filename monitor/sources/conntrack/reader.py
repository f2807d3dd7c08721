"""Reader of connection tracking: flows as they open, complete a handshake and close.

Events come by ctnetlink's multicast groups. When the receive buffer overflows the kernel says so (ENOBUFS), but not how
much was lost: a gap. The table itself still knows every connection that is left, so it is listed once the flood has
eased, a little at a time.
"""

import errno
import socket
import struct
import time

import msgspec

from monitor.model.errors import NodewardenError
from monitor.model.flows import Flow
from monitor.sources.conntrack import socket as conntrack_socket
from monitor.sources.conntrack.fast_decoder import FlowDecoder
from monitor.sources.conntrack.socket import DATAGRAM_BYTES

_QUIET_S = 1.0
"""How long no event must have been lost before the table is listed: until then the next loss would make it useless."""
_LIST_AGAIN_S = 30.0
_DUMP_BUFFER_BYTES = 1 << 20
_NSID_CMSG = struct.Struct("=i")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_NSID_CMSG.size)


class ConntrackStats(msgspec.Struct):
    """What the source counted; all are totals."""

    records: int = 0
    """Messages of the kernel."""
    lost: int = 0
    """Gaps: times that the buffer overflowed; how many events each one lost is not known."""
    malformed: int = 0
    skipped: int = 0
    """Updates that show no complete handshake."""
    resyncs: int = 0
    """Times that the table was listed to the end after gaps."""


class Conntrack:
    """A source of flows. `is_drained`: whether the last `read` took all there was."""

    name = "conntrack"

    def __init__(
        self, *, buffer_bytes: int = 8 << 20, all_namespaces: bool = False, stats: ConntrackStats | None = None
    ) -> None:
        """Subscribe, in the network namespace of the calling thread; PermanentError says what is missing.

        With `all_namespaces` flows of those namespaces count too that this one has a number for (pods').
        """
        self.stats = stats or ConntrackStats()
        self.is_drained = False
        self._has_namespaces = all_namespaces
        self._decoder = FlowDecoder()
        self._listing: Listing | None = None
        self._gap_s: float | None = None
        self._list_from_s = float("-inf")
        self._socket = conntrack_socket.open_socket(buffer_bytes)
        try:
            conntrack_socket.listen(self._socket, all_namespaces=all_namespaces)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._socket.fileno()

    @property
    def is_listing(self) -> bool:
        """Whether the table is listed after a gap, or is to be."""
        return self._listing is not None or self._gap_s is not None

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()
        self._drop_listing()

    def read(self, limit: int = 1024) -> list[Flow]:
        """Return the events of at most `limit` waiting datagrams, in order."""
        batches: dict[int | None, list[bytes]] = {}
        receive = self._receive_named if self._has_namespaces else self._receive
        self.is_drained = False
        for _ in range(limit):
            try:
                namespace, datagram = receive()
            except BlockingIOError:
                self.is_drained = True
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.note_gap()
                continue
            batches.setdefault(namespace, []).append(datagram)
        time_s = time.time()
        events: list[Flow] = []
        for namespace, datagrams in batches.items():
            events += self._decode(datagrams, time_s, namespace)
        return events

    def catch_up(self, limit: int = 64) -> list[Flow]:
        """Go on listing the table after a gap, at most `limit` datagrams of it; to be called now and then.

        The events are FlowListed. Nothing is done while events are still being lost. A list that the kernel could not
        keep whole (NLM_F_DUMP_INTR) is made again later.
        """
        now_s = time.monotonic()
        if self._listing is None:
            if self._gap_s is None or now_s < self._gap_s + _QUIET_S or now_s < self._list_from_s:
                return []
            self._gap_s = None
            self._list_from_s = now_s + _LIST_AGAIN_S
            try:
                self._listing = Listing(self._decoder)
            except (NodewardenError, OSError):
                self._gap_s = now_s
                return []
        try:
            events = self._listing.read(limit)
        except (NodewardenError, OSError):  # the events matter more: the list is made again later
            self._drop_listing()
            self._gap_s = now_s
            return []
        if self._listing.is_done:
            if self._listing.is_interrupted:
                self._gap_s = now_s
            else:
                self.stats.resyncs += 1
            self._drop_listing()
        return events

    def _drop_listing(self) -> None:
        if self._listing:
            self._listing.close()
            self._listing = None

    def _decode(self, datagrams: list[bytes], time_s: float, namespace: int | None) -> list[Flow]:
        decoded = self._decoder.decode(datagrams, time_s, namespace)
        stats = self.stats
        stats.records += len(decoded.events) + decoded.skipped + decoded.malformed
        stats.malformed += decoded.malformed
        stats.skipped += decoded.skipped
        if decoded.is_overrun:
            self.note_gap()
        return decoded.events

    def note_gap(self) -> None:
        """Count events as lost, and list the table when it is quiet."""
        self.stats.lost += 1
        self._gap_s = time.monotonic()

    def _receive(self) -> tuple[int | None, bytes]:
        return None, self._socket.recv(DATAGRAM_BYTES)

    def _receive_named(self) -> tuple[int | None, bytes]:
        """Receive a datagram and the number of the namespace it is from; None: our own."""
        datagram, ancillary, _, _ = self._socket.recvmsg(DATAGRAM_BYTES, _ANCILLARY_BYTES)
        for _, _, data in ancillary:
            if len(data) == _NSID_CMSG.size:
                return _NSID_CMSG.unpack(data)[0], datagram
        return None, datagram


class Listing:
    """A dump of the whole table, read a little at a time; the kernel writes as much as is read."""

    def __init__(self, decoder: FlowDecoder) -> None:
        """Ask for it."""
        self.is_done = self.is_interrupted = False
        self._decoder = decoder
        self._socket = conntrack_socket.open_socket(_DUMP_BUFFER_BYTES)
        try:
            conntrack_socket.ask(self._socket, conntrack_socket.GET, is_dump=True)
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """End it."""
        self._socket.close()

    def read(self, limit: int) -> list[Flow]:
        """Return what at most `limit` datagrams hold; `is_done` when that was all. An error ends it and is raised."""
        datagrams = []
        for _ in range(limit):
            try:
                datagrams.append(self._socket.recv(DATAGRAM_BYTES))
            except BlockingIOError:
                break
        decoded = self._decoder.decode(datagrams, time.time())
        if decoded.errno:
            self.is_done = True
            raise conntrack_socket.explained(decoded.errno)
        self.is_done = decoded.is_done
        self.is_interrupted = self.is_interrupted or decoded.is_interrupted
        return decoded.events
