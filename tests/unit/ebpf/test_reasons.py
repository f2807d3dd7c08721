"""Drop reasons by the kernel's own names, and what the programs are told of the kernel."""

import re
from pathlib import Path

import pytest

from monitor.ebpf.btf import KERNEL, Btf
from monitor.ebpf.kallsyms import read_functions
from monitor.ebpf.layout import _FIELDS, read_layout
from monitor.ebpf.reasons import (
    Fate,
    ReasonClass,
    class_of,
    fate,
    is_judged,
    is_of_packets,
    label_pattern,
    read_reasons,
)
from monitor.model.errors import PermanentError
from monitor.model.events import DROP_CLASSES
from tests.support.btf import BtfMaker

CORE = {
    "SKB_NOT_DROPPED_YET": 0,
    "SKB_CONSUMED": 1,
    "SKB_DROP_REASON_NOT_SPECIFIED": 2,
    "SKB_DROP_REASON_NETFILTER_DROP": 4,
    "SKB_DROP_REASON_MAX": 5,
    "SKB_DROP_REASON_SUBSYS_MASK": -65536,
}
OTHER = {"OVS_DROP_LAST_ACTION": 2 << 16, "OVS_DROP_METER": 2 << 16 | 3}


def kernel(*, without: str = "", is_large: bool = False, core: dict[str, int] | None = None) -> Btf:
    """Make the types of a kernel; `without` leaves a member out, `is_large` puts one far back."""
    make = BtfMaker()
    word = make.integer("int", 4)
    common = make.composite("sock_common", 8, [("skc_net", make.composite("possible_net_t", 8, [("net", word, 0)]), 0)])
    parts: dict[str, list[tuple[str, int, int]]] = {}
    for number, (struct, member, _) in enumerate(_FIELDS.values()):
        if f"{struct}.{member}" != without:
            head, _, tail = member.partition(".")
            inner = make.composite("", 8, [(tail, word, 0)]) if tail else word
            kind = common if head == "__sk_common" else inner
            place = 8 * 4000 if is_large and member == "head" else 64 * number
            parts.setdefault(struct, []).append((head, kind, place))
    for struct, members in parts.items():
        make.composite(struct, 512, members)
    if core is None or core:
        make.enumeration("skb_drop_reason", core or CORE)
    make.enumeration("ovs_drop_reason", OTHER)
    make.enumeration("skb_drop_reason_subsys", {"SKB_DROP_REASON_SUBSYS_CORE": 0})
    return Btf(make.bytes())


def test_reasons_have_slots() -> None:
    """The core's by number, holes and what nobody names as unknown, subsystems' behind them."""
    reasons = read_reasons(kernel())
    assert reasons is not None
    names = (
        "SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "NOT_SPECIFIED", "unknown", "NETFILTER_DROP", "OVS_DROP_LAST_ACTION",
        "OVS_DROP_METER", "unknown",
    )  # fmt: skip
    assert (reasons.names, reasons.core, reasons.unknown) == (names, 5, 7)
    assert reasons.subsystems == {2 << 16: 5, 2 << 16 | 3: 6}
    numbers = (4, 2 << 16 | 3, 3 << 16, 5)
    assert [reasons.name(number) for number in numbers] == ["NETFILTER_DROP", "OVS_DROP_METER", "unknown", "unknown"]
    assert set(reasons.no_drops) == {0, 1}


def test_a_kernel_without_reasons_has_none() -> None:
    """It then says so, and nothing is guessed."""
    btf = kernel(core={})
    assert read_reasons(btf) is None
    with pytest.raises(PermanentError, match=r"5\.17"):
        read_layout(btf)


def test_the_layout_is_complete() -> None:
    """Every macro that the program uses is there, and enough of an sk_buff is read."""
    macros = read_layout(kernel()).macros
    assert set(_FIELDS) < set(macros)
    assert macros["SKB_BYTES"] >= macros["SKB_HEAD"] + 8
    assert (macros["REASONS"], macros["CORE_REASONS"], macros["UNKNOWN_REASON"]) == (8, 5, 7)


@pytest.mark.parametrize("member", [f"{struct}.{member}" for struct, member, _ in _FIELDS.values()])
def test_a_kernel_that_lacks_a_member_is_named(member: str) -> None:
    """The sentence says which."""
    struct, _, name = member.partition(".")
    with pytest.raises(PermanentError, match=rf"{struct} has no member {name}"):
        read_layout(kernel(without=member))


def test_an_sk_buff_that_is_too_large_is_refused() -> None:
    """A program has little stack."""
    with pytest.raises(PermanentError, match="too many"):
        read_layout(kernel(is_large=True))


def test_classes_are_those_of_events() -> None:
    """The program counts in this order, and detectors read it so."""
    assert tuple(ReasonClass) == DROP_CLASSES


@pytest.mark.parametrize(("name", "kind"), [
    ("NETFILTER_DROP", "firewall"), ("NO_SOCKET", "closed_port"), ("TCP_CSUM", "bad_packet"),
    ("IP_INHDR", "bad_packet"),
    ("SOCKET_RCVBUFF", "no_memory"), ("NOMEM", "no_memory"), ("FQ_FLOW_LIMIT", "rate_limit"),
    ("NOT_SPECIFIED", "other"), ("OF_A_LATER_KERNEL", "other"), ("unknown", "other"),
])  # fmt: skip
def test_what_reasons_mean(name: str, kind: str) -> None:
    """Names that nobody knows here blame nobody."""
    assert class_of(name) == kind


def test_functions_are_found_where_addresses_are_shown() -> None:
    """Hidden addresses are zeros."""
    text = "ffffffff81000010 T ip_forward\n0000000000000000 T ip6_forward\nffffffff81000020 t other\t[module]\n"
    assert read_functions(text, frozenset(("ip_forward", "ip6_forward", "other"))) == {
        "ip_forward": 0xFFFFFFFF81000010,
        "other": 0xFFFFFFFF81000020,
    }


@pytest.mark.parametrize("kind", [kind for kind in ReasonClass if kind is not ReasonClass.OTHER])
def test_a_pattern_finds_the_names_of_its_class(kind: ReasonClass) -> None:
    """Dashboards ask by what detectors go by: a name belongs to a class if, and only if, its pattern fits."""
    names = {*(name for other in ReasonClass for name in label_pattern(other).split("|")), "TCP_CSUM", "FQ_FLOW_LIMIT"}
    for name in (one.replace(".*", "X") for one in names if one):
        assert (re.fullmatch(label_pattern(kind), name) is not None) == (class_of(name) is kind), name


NAMES = Path(__file__).with_name("reasons.txt").read_text().split()
"""The reasons of Linux 5.18 to 6.18, all together."""


@pytest.mark.parametrize("name", NAMES)
def test_every_reason_is_judged(name: str) -> None:
    """An unknown reason counts as a drop of no class: each of the kernel's has its place in the tables."""
    assert is_judged(name)


def test_the_reasons_of_this_kernel_are_judged() -> None:
    """Of the machine that runs the tests, too: a later kernel's are to be added to the list."""
    reasons = read_reasons(Btf(KERNEL.read_bytes())) if KERNEL.exists() else None
    names = set(reasons.names[: reasons.core]) if reasons else set()
    assert names - set(NAMES) <= {"SKB_NOT_DROPPED_YET", "SKB_CONSUMED", "unknown"}


@pytest.mark.parametrize(("name", "has_protocol", "became"), [
    ("NOT_SPECIFIED", True, "dropped"), ("NOT_SPECIFIED", False, "no_packet"), ("unknown", False, "no_packet"),
    ("unknown", True, "dropped"), ("OF_A_LATER_KERNEL", False, "no_packet"), ("OF_A_LATER_KERNEL", True, "dropped"),
    ("SOCKET_CLOSE", True, "teardown"), ("SOCKET_CLOSE", False, "teardown"), ("QUEUE_PURGE", True, "teardown"),
    ("NO_SOCKET", True, "dropped"), ("IP_OUTNOROUTES", False, "dropped"), ("CPU_BACKLOG", False, "dropped"),
    ("SOCKET_FILTER", False, "no_packet"), ("SOCKET_RCVBUFF", False, "no_packet"), ("SOCKET_RCVBUFF", True, "dropped"),
])  # fmt: skip
def test_what_became_of_a_buffer(name: str, has_protocol: bool, became: str) -> None:
    """Packets that a device received have a protocol; only reasons that local messages have as well need one."""
    assert fate(name, has_protocol=has_protocol) == became


def test_what_was_in_a_sockets_queue_had_arrived() -> None:
    """UDP sockets that are closed give no reason; a reason that is named stands, as for a full buffer."""
    assert fate("NOT_SPECIFIED", has_protocol=True, was_queued=True) is Fate.TEARDOWN
    assert fate("SOCKET_RCVBUFF", has_protocol=True, was_queued=True) is Fate.DROPPED


@pytest.mark.parametrize("name", NAMES)
def test_the_program_and_python_agree(name: str) -> None:
    """The program has two marks for a reason, and Python what became of the buffer: both say the same."""
    is_teardown = fate(name, has_protocol=True) is Fate.TEARDOWN
    assert is_of_packets(name) == (fate(name, has_protocol=False) is Fate.DROPPED)
    assert not (is_teardown and is_of_packets(name))


def test_teardown_blames_nobody() -> None:
    """A socket that its owner closed is no evidence against a sender."""
    for name in NAMES:
        if fate(name, has_protocol=True) is Fate.TEARDOWN:
            assert class_of(name) is ReasonClass.OTHER
