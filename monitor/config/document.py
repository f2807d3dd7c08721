"""Parses one file of the configuration: bytes to a tree of YAML nodes, or faults."""

import errno
import os
import re
import stat
from pathlib import Path

import yaml

from monitor.config.faults import Fault, show_path
from monitor.model.errors import TemporaryError

SIZE_LIMIT_BYTES = 1 << 20
DEPTH_LIMIT = 32
"""Maximum nesting of mappings and lists: libyaml's composer recurses without a limit."""

REPLACE_TAG = "!replace"
"""Before a list: the entries of earlier files are dropped."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SYNTAX_ERRORS = (yaml.YAMLError, ValueError, OverflowError)  # PyYAML lets chr() and int() fail on invalid escapes
_ADVICE = {
    errno.ENOENT: "no such file; create it (an empty file means all defaults) or name another file with --config",
    errno.EACCES: "permission denied; run as root, or give this user read permission",
    errno.EISDIR: "this is a directory; expected a YAML file",
    errno.ENOTDIR: "part of this path is a file, not a directory; check the spelling",
    errno.ENXIO: "this is a socket or a device; expected a YAML file",
    errno.ELOOP: "the symbolic links form a cycle; point them to a file",
}
_LASTING = frozenset({*_ADVICE, errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG})
"""Errors that the operator must correct. The daemon must not stay down for others: descriptors, memory, the disk."""


class UnreadableError(Exception):
    """A file cannot be turned into YAML nodes."""

    def __init__(self, *faults: Fault) -> None:
        """Take all faults of the file."""
        super().__init__(*faults)
        self.faults = faults


def advise(file: Path, error: OSError) -> Fault:
    """Return a fault with advice for a file or directory that cannot be opened.

    TemporaryError if the cause is no fault of the configuration and may pass.
    """
    if error.errno not in _LASTING:
        raise TemporaryError(
            f"{show_path(file)} cannot be read: {error.strerror}; the system lacks something"
        ) from error
    advice = _ADVICE.get(error.errno or 0) or f"cannot be read: {error.strerror or error}"
    return Fault(file, 0, 0, "", advice)


def read_bytes(file: Path) -> bytes:
    """Read a regular file of at most SIZE_LIMIT_BYTES; raises UnreadableError, TemporaryError."""
    try:
        # O_NONBLOCK: opening a FIFO must not block the start forever.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            data = _read_regular(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnreadableError(advise(file, error)) from None
    except ValueError:  # an embedded NUL
        raise UnreadableError(Fault(file, 0, 0, "", "not a valid file name; check the spelling")) from None
    if data is None:
        raise UnreadableError(Fault(file, 0, 0, "", "not a regular file; expected a YAML file"))
    if len(data) > SIZE_LIMIT_BYTES:
        raise UnreadableError(Fault(file, 0, 0, "", "larger than 1 MiB; check that this is nodewarden's configuration"))
    return data


def _read_regular(descriptor: int) -> bytes | None:
    """Read at most one byte more than the limit; None if it is not a regular file."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        return None
    with os.fdopen(descriptor, "rb", closefd=False) as stream:
        return stream.read(SIZE_LIMIT_BYTES + 1)


def parse(file: Path, data: bytes) -> yaml.Node | None:
    """Return the root node of the content of a file, None if it is empty; raises UnreadableError.

    Anchors, aliases, tags, deep nesting and more than one document are refused before any node is created.
    """
    text = _decode(file, data)
    try:
        faults = _guard(file, text)
        if faults:
            raise UnreadableError(*faults)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = ", ".join(filter(None, (error.context, error.problem))) or "unknown reason"
        raise UnreadableError(Fault(file, line, column, "", f"not valid YAML: {reason}")) from None
    except _SYNTAX_ERRORS as error:
        raise UnreadableError(Fault(file, 1, 1, "", f"not valid YAML: {error}")) from None


def _decode(file: Path, data: bytes) -> str:
    """Decode UTF-8 and refuse characters that YAML does not allow, with the position of the first fault."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode()
        bad = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise UnreadableError(_fault_after(file, before, bad)) from None
    found = _UNPRINTABLE.search(text)
    if found:
        bad = f"character U+{ord(found[0]):04X} is not allowed in YAML; remove it, or escape it in double quotes"
        raise UnreadableError(_fault_after(file, text[: found.start()], bad))
    return text


def _fault_after(file: Path, before: str, text: str) -> Fault:
    """Return a fault at the position after `before`."""
    return Fault(file, before.count("\n") + 1, len(before) - before.rfind("\n"), "", text)


def _guard(file: Path, text: str) -> list[Fault]:
    """Find constructs that could expand a small file to a large or deep tree, and unsupported ones."""
    faults: list[Fault] = []
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        found = ""
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            found = "only one document per file; remove this `---` or move the rest to conf.d" if documents > 1 else ""
        elif isinstance(event, yaml.NodeEvent):
            found = _refusal(event)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEPTH_LIMIT:
                    found = f"nested more than {DEPTH_LIMIT} levels deep"
        if found:
            line, column = position_of(event)
            faults.append(Fault(file, line, column, "", found))
        if depth > DEPTH_LIMIT or documents > 1:
            break
    return faults


def position_of(start: yaml.Event | yaml.Node) -> tuple[int, int]:
    """Return the line and column where an event or a node starts, both counted from 1."""
    mark = start.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _refusal(event: yaml.NodeEvent) -> str:
    """Return why a node is refused; empty if it is accepted."""
    if event.anchor is not None:
        return "anchors (&) and aliases (*) are not supported; repeat the value, or quote the text"
    tag = getattr(event, "tag", None)
    if tag == REPLACE_TAG:
        return "" if isinstance(event, yaml.SequenceStartEvent) else f"{REPLACE_TAG} belongs before a list: write [...]"
    if tag is not None:
        return (
            f"tags (!) are not supported, except {REPLACE_TAG} before a list; write the plain value, or quote the text"
        )
    return ""


class _PlainLoader(yaml.SafeLoader):
    """Resolves no scalar: the schema, not YAML 1.1, determines the type of a text."""

    yaml_implicit_resolvers = {}


_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = _PlainLoader
if yaml.__with_libyaml__:

    class _FastLoader(yaml.CSafeLoader):
        """The same with libyaml."""

        yaml_implicit_resolvers = {}

    _Loader = _FastLoader
