"""Lines of a text of any size, of bounded length."""

from collections.abc import Iterator

from monitor.daemon.replay.foreign.content import Content
from monitor.sources.tail.lines import Run, split_lines

MAX_LINE_BYTES = 8192
"""As the sources of logs cut lines by default."""
_BLOCK_BYTES = 256 * 1024


def runs_of(content: Content, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Run]:
    """Yield whole lines in blocks; a line that is too long is a block of its own, cut."""
    rest = b""
    while data := content.read(_BLOCK_BYTES):
        data = rest + data
        end = data.rfind(b"\n") + 1
        rest = data[end : end + max_line_bytes]  # more of a line without end is not needed to know that it is cut
        if end:
            yield from split_lines(data[:end], max_line_bytes)
    if rest:
        yield from split_lines(rest + b"\n", max_line_bytes)
