"""The format file of the tracepoint that tells of drops."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.ebpf.tracepoint_format import read_drop_format
from monitor.model.errors import PermanentError

FORMAT = """\
name: kfree_skb
ID: 2310
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;

\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;
\tfield:void * location;\toffset:16;\tsize:8;\tsigned:0;
\tfield:unsigned short protocol;\toffset:{protocol};\tsize:2;\tsigned:0;
\tfield:enum skb_drop_reason reason;\toffset:{reason};\tsize:4;\tsigned:0;

print fmt: "reason: %s", __print_symbolic(REC->reason, {symbols})
"""
SYMBOLS = '{ 1, "NOT_SPECIFIED" }, { 3, "NO_SOCKET" }'


def written(*, protocol: int = 24, reason: int = 28, symbols: str = SYMBOLS) -> str:
    """Write such a file."""
    return FORMAT.format(protocol=protocol, reason=reason, symbols=symbols)


@pytest.mark.parametrize(("protocol", "reason"), [(24, 28), (32, 36)])
def test_fields_and_names(protocol: int, reason: int) -> None:
    """Fields where the kernel has them (6.11 moved them), names by number, holes and the slot for others unknown."""
    found = read_drop_format(written(protocol=protocol, reason=reason))
    assert (found.protocol_at, found.reason_at) == (protocol, reason)
    assert found.reasons.names == ("unknown", "NOT_SPECIFIED", "unknown", "NO_SOCKET", "unknown")
    assert (found.reasons.core, found.reasons.unknown, found.reasons.no_drops) == (4, 4, ())


@pytest.mark.parametrize(("text", "told"), [
    (written().replace("reason;", "why;"), "no reason of 4 bytes"),
    (written().replace("size:2", "size:8"), "no protocol"),
    (written(symbols=""), "does not name its reasons"), ("", "no protocol"),
])  # fmt: skip
def test_what_is_missing_is_told(text: str, told: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(PermanentError, match=told):
        read_drop_format(text)


@given(some.text(), some.integers(0, 1 << 70))
def test_numbers_do_not_make_it_large(text: str, number: int) -> None:
    """Whatever a kernel writes, what comes of it is small."""
    symbols = f'{SYMBOLS}, {{ {number}, "X" }}, {text}'.replace("field:", "")
    assert len(read_drop_format(written(symbols=symbols)).reasons.names) <= 4097
