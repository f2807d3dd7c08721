"""Lines of a text of any size, of bounded length, as the application wrote them.

A file that went through another system ends its lines with CR and LF, or starts with a byte order mark; filters are
written for neither.
"""

from collections.abc import Iterator

from monitor.daemon.replay.foreign.content import Content
from monitor.sources.tail.lines import Run, split_lines

MAX_LINE_BYTES = 8192
"""As the sources of logs cut lines by default."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_BYTES = 256 * 1024


def runs_of(content: Content, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Run]:
    """Yield whole lines in blocks; a line that is too long is a block of its own, cut."""
    rest = b""
    is_first = True
    while data := content.read(_BLOCK_BYTES):
        data = rest + (data.removeprefix(BYTE_ORDER_MARK) if is_first else data)
        is_first = False
        end = data.rfind(b"\n") + 1
        rest = data[end : end + max_line_bytes]  # more of a line without end is not needed to know that it is cut
        if end:
            yield from split_lines(data[:end].replace(b"\r\n", b"\n"), max_line_bytes)
    if rest:
        yield from split_lines(rest.removesuffix(b"\r") + b"\n", max_line_bytes)
