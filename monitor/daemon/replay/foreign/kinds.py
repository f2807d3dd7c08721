"""What kind of file it is, by its content."""

import enum
import re

from monitor.daemon.replay.foreign import conntrack_xml, ctnetlink_file
from monitor.daemon.replay.foreign.journal_entries import is_export, is_json
from monitor.daemon.replay.foreign.lines import BYTE_ORDER_MARK
from monitor.daemon.replay.foreign.pcap_file import is_capture
from monitor.recording.segments import MAGIC

_PRINTED_EVENT = re.compile(rb"^(?:\[\d+\.\d+\s*\]\s*)?\[(?:NEW|UPDATE|DESTROY)\]\s", re.MULTILINE).search
_TEXT = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)) - {0x7F})
_BINARY_SHARE = 0.05
_HOLE = re.compile(rb"\0{16,}")
"""Blocks of a file that were not yet written when the machine lost its power: a log around them is a log."""


class Kind(enum.StrEnum):
    """The kinds of files, as `--type` names them."""

    LOG = "log"
    KERNEL_LOG = "kernel-log"
    JOURNAL_JSON = "journal-json"
    JOURNAL_EXPORT = "journal-export"
    CONNTRACK_XML = "conntrack-xml"
    CTNETLINK = "ctnetlink"
    PCAP = "pcap"


def recognise(head: bytes) -> Kind | str:
    """Return the kind of a file that starts with these bytes; a text that says what it looks like, if it is none.

    Text is LOG, whatever wrote it: lines of the kernel in it are found as well.
    """
    if not head.strip():
        return "it is empty"
    if head.startswith(MAGIC):
        return "it is a recording of nodewarden: replay it alone"
    if is_capture(head):
        return Kind.PCAP
    if ctnetlink_file.is_capture(head):
        return Kind.CTNETLINK
    if is_export(head):
        return Kind.JOURNAL_EXPORT
    head = head.removeprefix(BYTE_ORDER_MARK)
    if _is_binary(head) and ((named := _named(head)) or _is_binary(_HOLE.sub(b"", head))):
        return named or f"it is binary, and of no known kind (it starts with {head[:8].hex(' ')})"
    if conntrack_xml.is_output(head):
        return Kind.CONNTRACK_XML
    if _PRINTED_EVENT(head):
        return "it is what `conntrack -E` prints for people: record with `conntrack -E -o xml,timestamp,id` instead"
    return Kind.JOURNAL_JSON if is_json(head) else Kind.LOG


def _is_binary(head: bytes) -> bool:
    return not head.strip() or len(head.translate(None, _TEXT)) > _BINARY_SHARE * len(head)


def _named(head: bytes) -> str:
    """Return what a binary file is, and what to do; empty if that is not known."""
    if head.startswith(b"LPKSHHRH"):
        return "it is a journal file: replay what `journalctl --file=FILE -o export` prints"
    if head.startswith(b"PK\x03\x04"):
        return "it is a zip archive: unpack it first"
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is text in UTF-16: convert it first (iconv -f UTF-16 -t UTF-8)"
    if head[257:262] == b"ustar":
        return "it is a tar archive: unpack it first"
    return ""
