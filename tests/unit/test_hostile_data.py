"""Everything that reads others' data gets damaged and hostile data: only the errors that it documents come out.

Each reader has a valid sample, from which bytes are cut, changed, repeated and inserted. Readers of log
lines, conntrack messages and configuration have tests of their own, which go further.
"""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from monitor.control.protocol import MalformedRequest, decode_reply, decode_request
from monitor.daemon.life.known_services import KnownServices
from monitor.ebpf.btf import Btf
from monitor.ebpf.kallsyms import name_locations, read_functions
from monitor.ebpf.tracepoint_format import read_drop_format
from monitor.enforcers import netlink
from monitor.enforcers.conntrack.messages import decode_entry
from monitor.enforcers.nftables.expiry import decode_ends
from monitor.enforcers.nftables.notices import decode_author, decode_set_name, notices
from monitor.files.inotify import decode_events
from monitor.filters.library import read_filter_file
from monitor.model.cursors import Cursor
from monitor.model.errors import MalformedRecord, NodewardenError, PermanentError
from monitor.model.services import Services
from monitor.node import kubernetes, listeners, netlink_messages, routes, rtnetlink
from monitor.node.addresses import parse_resolvers
from monitor.node.listeners import parse_listeners
from monitor.node.sessions import parse_logind_session, parse_utmp
from monitor.node.sysctls import parse_port_range
from monitor.sources.conntrack.health import ListenReader, numbers
from monitor.sources.kmsg.format import decode_packet, parse_record
from monitor.sources.tail.cursors import decode_cursor, encode_cursor
from tests.unit.daemon.test_known_services import Rows

_ROUNDS = 400
_TOKENS = (
    *(b"\0", b"\xff", b"\xff" * 16, b"\0" * 64, b"\x80\x81", b"\r\n", b"\x1b[2J", "\u202e".encode(), b"-1", b"9" * 400),
    *(
        b"1e999",
        b"0x",
        b"%s",
        b"[" * 3000,
        b"{" * 200,
        b"(" * 500,
        b"&a [*a]",
        b"!!python/name:os.system",
        b"\\",
        b"'",
        b'"',
    ),
    *(b"::ffff:0:0", b"999.1.1.1", b"fe80::1%eth0", b"=" * 50, b",", b":", b"/", b" " * 1000),
)


class Reader(NamedTuple):
    """A function that reads others' data; `errors` are those that its callers expect."""

    read: Callable[[bytes], object]
    sample: bytes
    errors: tuple[type[Exception], ...] = ()


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: read(data.decode(errors="replace"))


def _attributes(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(netlink.attribute(kind, payload) for kind, payload in fields)


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 4711) + body


def _known_services(data: bytes) -> None:
    rows = Rows()
    rows.cursors["services"] = Cursor("", data.decode(errors="replace"))
    KnownServices(Services(), rows, frozenset).open(1000.0)


def _file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    def write_and_read(data: bytes) -> object:
        path = _directory / name
        path.write_bytes(data)
        return read(path)

    return write_and_read


_directory = Path()
_ADDRESSES = _attributes((1, bytes([192, 0, 2, 1])), (2, bytes([192, 0, 2, 9])), (5, bytes([192, 0, 2, 7])))
_ROUTE = bytes([2, 24, 0, 0, 254, 3, 0, 1]) + bytes(4) + _ADDRESSES
_HOP = struct.pack("=HBBI", 16, 0, 0, 2) + _attributes((5, bytes([192, 0, 2, 254])))
_MULTIPATH = bytes([2, 24, 0, 0, 254, 3, 0, 1]) + bytes(4) + _attributes((9, _HOP + _HOP))
_ELEMENT = _attributes((1, _attributes((1, bytes([192, 0, 2, 1])))), (4, bytes(8)), (5, bytes(8)))
_ELEMENTS = bytes(4) + _attributes((1, b"nodewarden\0"), (2, b"ban4\0"), (3, _attributes((1, _ELEMENT), (1, _ELEMENT))))
_KUBECONFIG = b"apiVersion: v1\nclusters:\n- cluster: {server: https://192.0.2.1:6443}\n  name: a\n"
_KUBELET = b"clusterDNS: [10.96.0.10]\npodCIDR: 10.244.0.0/16\n"
_MANIFEST = (
    b"spec:\n  containers:\n  - command: [kube-apiserver, --service-cluster-ip-range=10.96.0.0/12]\n    args: []\n"
)
_CNI = b'{"plugins": [{"ipam": {"ranges": [[{"subnet": "10.244.1.0/24"}]], "subnet": "10.0.0.0/8"}}]}'
_FLANNEL = b"FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_MTU=1450\n"
_UTMP = struct.pack("=h2xi32s4s32s256s", 7, 4711, b"pts/0", b"ts/0", b"root", b"") + bytes(400)
_LOGIND = b"UID=0\nUSER=root\nREMOTE=1\nREMOTE_HOST=192.0.2.1\nSTATE=active\nCLASS=user\nTTY=pts/0\nLEADER=4711\n"
_TCP = (
    b"  sl  local_address rem_address   st tx_queue rx_queue\n"
    b"   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1\n" * 3
)
_SNMP = b"TcpExt: ListenOverflows ListenDrops SyncookiesSent\nTcpExt: 1 2 3\nTcp: PassiveOpens\nTcp: 4\n"
_KALLSYMS = b"ffffffff81000000 T _text\nffffffff81000100 t tcp_v4_rcv\nffffffff81000200 t x\t[nf_tables]\n"
_FORMAT = (
    b"\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;\n\tfield:unsigned short protocol;\toffset:32;\tsize:2;\n"
    b'\tfield:enum skb_drop_reason reason;\toffset:36;\tsize:4;\nprint fmt: { 2, "NOT_SPECIFIED" }, { 3, "NO_SOCKET" }'
)
_KMSG = (
    b"4,1234,98765432,-;nft: IN=eth0 OUT= MAC= SRC=192.0.2.1 DST=192.0.2.2 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF "
    b"PROTO=TCP SPT=1 DPT=2 WINDOW=1024 RES=0x00 SYN URGP=0 \n SUB=x\n"
)
_FILTER = b"description: x\nfailregex:\n  - '^Failed password for .* from <ADDR>$'\n"
READERS: dict[str, Reader] = {
    "control request": Reader(decode_request, b'{"type": "unban", "networks": ["192.0.2.1"]}', (MalformedRequest,)),
    "control reply": Reader(decode_reply, b'{"ok": true, "result": {"a": [1, 2]}}', (ValueError, RecursionError)),
    "known services": Reader(_known_services, msgspec.json.encode([("", 6, 80, 1.0), ("c0000201", 6, 22, 2.0)])),
    "file cursor": Reader(_text(decode_cursor), encode_cursor((1, 2), 300, b"x" * 256).encode()),
    "btf": Reader(_btf := lambda data: Btf(data).offset_bytes("sk_buff", "dev"), b"", (MalformedRecord,)),
    "kallsyms": Reader(
        _text(lambda text: (read_functions(text, frozenset({"x"})), name_locations(text.splitlines(), [5]))), _KALLSYMS
    ),
    "tracepoint format": Reader(_text(read_drop_format), _FORMAT, (PermanentError,)),
    "netlink replies": Reader(
        lambda data: list(netlink.decode_replies(data)), _message(0xA0C, _ELEMENTS), (MalformedRecord,)
    ),
    "elements": Reader(netlink.decode_elements, _ELEMENTS, (MalformedRecord,)),
    "ends of elements": Reader(lambda data: decode_ends(data, {}), _ELEMENTS, (MalformedRecord,)),
    "counter": Reader(
        netlink.decode_counter,
        bytes(4) + _attributes((2, b"x\0"), (4, _attributes((1, bytes(8)), (2, bytes(8))))),
        (MalformedRecord,),
    ),
    "set": Reader(
        netlink.decode_set,
        bytes(4) + _attributes((2, b"ban4\0"), (3, bytes(4)), (5, bytes(4)), (9, _attributes((1, bytes(4))))),
        (MalformedRecord,),
    ),
    "table": Reader(
        netlink.decode_table_userdata,
        bytes(4) + _attributes((1, b"nodewarden\0"), (6, b"\0\x03abc")),
        (MalformedRecord,),
    ),
    "notices": Reader(
        lambda data: list(notices(data, (), with_ends=True)), _message(0xA0C, _ELEMENTS) * 2, (MalformedRecord,)
    ),
    "author of a change": Reader(
        decode_author, bytes(4) + _attributes((2, bytes(4)), (3, b"nft\0")), (MalformedRecord,)
    ),
    "name of a set": Reader(decode_set_name, _ELEMENTS, (MalformedRecord,)),
    "conntrack entry": Reader(
        lambda data: decode_entry(data, lambda _: True),
        bytes([2, 0, 0, 0]) + _attributes((1, _attributes((1, _ADDRESSES)))),
        (MalformedRecord, ValueError),
    ),
    "conntrack numbers": Reader(lambda data: list(numbers(data)), bytes(20) + _ADDRESSES),
    "netlink messages": Reader(
        lambda data: list(netlink_messages.split_messages(data)), _message(24, _ROUTE) * 2, (MalformedRecord,)
    ),
    "interface address": Reader(routes.interface_address, _ROUTE[:8] + _ADDRESSES, (MalformedRecord,)),
    "route": Reader(lambda data: (routes.route_network(data), routes.route_hops(data)), _ROUTE, (MalformedRecord,)),
    "multipath route": Reader(routes.route_hops, _MULTIPATH, (MalformedRecord,)),
    "nexthop object": Reader(
        rtnetlink.nexthop, bytes(8) + _attributes((2, bytes(16)), (6, bytes([192, 0, 2, 1]))), (MalformedRecord,)
    ),
    "listening socket": Reader(listeners.parse_answer, b"\2" + bytes(71), (MalformedRecord,)),
    "inotify events": Reader(decode_events, struct.pack("iIII16s", 1, 2, 0, 16, b"name") * 2),
    "kubeconfig": Reader(_text(kubernetes.parse_kubeconfig), _KUBECONFIG, (MalformedRecord,)),
    "kubelet": Reader(_text(kubernetes.parse_kubelet), _KUBELET, (MalformedRecord,)),
    "rancher": Reader(_text(kubernetes.parse_rancher), _KUBELET, (MalformedRecord,)),
    "load balancer": Reader(
        _text(kubernetes.parse_balancer), b'{"ServerURL": "https://192.0.2.1:6443"}', (MalformedRecord,)
    ),
    "manifest": Reader(_text(kubernetes.parse_manifest), _MANIFEST, (MalformedRecord,)),
    "cni": Reader(_text(kubernetes.parse_cni), _CNI, (MalformedRecord,)),
    "flannel": Reader(_text(kubernetes.parse_flannel), _FLANNEL),
    "network or url": Reader(_text(kubernetes.parse_network_or_url), b"name=https://[2001:db8::1]:2380", (ValueError,)),
    "resolv.conf": Reader(_text(parse_resolvers), b"nameserver 192.0.2.1\nnameserver fe80::1%eth0\noptions x\n"),
    "utmp": Reader(parse_utmp, _UTMP * 2),
    "logind session": Reader(_text(parse_logind_session), _LOGIND),
    "listeners": Reader(_text(lambda text: list(parse_listeners(text.splitlines()))), _TCP),
    "port range": Reader(parse_port_range, b"32768\t60999\n"),
    "listen totals": Reader(_file(lambda path: ListenReader(path, path).read(), "snmp"), _SNMP),
    "kernel log record": Reader(parse_record, _KMSG, (MalformedRecord,)),
    "logged packet": Reader(
        _text(lambda text: decode_packet(text, 1.0)),
        _KMSG.partition(b";")[2].partition(b" \n")[0] + b" ",
        (MalformedRecord,),
    ),
    "filter file": Reader(
        _file(read_filter_file, "own.yaml"), _FILTER, (NodewardenError, msgspec.ValidationError, OSError)
    ),
}


def _damaged(sample: bytes, chance: random.Random) -> bytes:
    """Return the sample with up to four changes."""
    data = bytearray(sample)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                del data[at:]
            case 1:
                data[at : at + chance.randint(1, 8)] = chance.randbytes(chance.randint(0, 8))
            case 2:
                data[at:at] = chance.choice(_TOKENS)
            case 3 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 4:
                data[at:at] = data[chance.randrange(len(data) + 1) :][:100]
            case _:
                del data[at : at + chance.randint(1, 20)]
    return bytes(data)


@pytest.mark.parametrize("name", READERS)
def test_damaged_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is read; whatever is done to it, the outcome is a value or a documented error."""
    monkeypatch.setitem(globals(), "_directory", tmp_path)
    reader = READERS[name]
    if reader.sample:
        reader.read(reader.sample)
    chance = random.Random(name)
    samples = [b"", *_TOKENS, *(_damaged(reader.sample or chance.randbytes(200), chance) for _ in range(_ROUNDS))]
    for data in samples:
        try:
            reader.read(data)
        except reader.errors:
            continue
        except Exception as error:  # noqa: BLE001 - any other is a fault
            pytest.fail(f"{name}: {type(error).__name__}: {error}; data: {data[:400]!r}")
