"""Records survive the way there and back; nothing else gets through."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.fleet.records import (
    MAX_RECORD_BYTES,
    VERSION,
    BanRecord,
    RecordError,
    SharedSet,
    decode_ban,
    decode_hello,
    decode_pardon,
    encode,
)

_BAN = BanRecord(VERSION, 7, "192.0.2.7", SharedSet.BAN, 1000.0, 2000.0, "sshd", "5 failures", 5, 5, 600.0, 0)


def test_there_and_back() -> None:
    assert decode_ban(encode(_BAN)) == _BAN
    assert len(encode(_BAN)) < 100


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"v": 2}, "version"),
        ({"v": 0}, "version"),
        ({"reason": "x" * 129}, "malformed"),
        ({"reason": "x" * 1000}, "oversize"),
        ({"since_s": -1.0}, "malformed"),
        ({"until_s": float("nan")}, "malformed"),
        ({"until_s": float("inf")}, "malformed"),
        ({"count": -1}, "malformed"),
    ],
)
def test_a_record_that_cannot_be_used_says_why(change: dict[str, object], cause: str) -> None:
    with pytest.raises(RecordError) as caught:
        decode_ban(encode(msgspec.structs.replace(_BAN, **change)))
    assert caught.value.cause == cause


def test_a_later_version_is_told_from_garbage() -> None:
    with pytest.raises(RecordError) as caught:
        decode_ban(msgspec.msgpack.encode([2, {"other": "layout"}]))
    assert caught.value.cause == "version"


@given(st.binary(max_size=2 * MAX_RECORD_BYTES))
def test_nothing_else_raises(data: bytes) -> None:
    for decode in (decode_ban, decode_pardon, decode_hello):
        try:
            decode(data)
        except RecordError as error:
            assert error.cause in {"oversize", "malformed", "version"}


@pytest.mark.parametrize("text", [b"\xff\xfe\xfd\xfc", b"ss\xc3\x28", b"\x80ssh"])
def test_text_that_is_not_utf8_is_malformed(text: bytes) -> None:
    with pytest.raises(RecordError) as caught:
        decode_ban(encode(_BAN).replace(b"sshd", text))
    assert caught.value.cause == "malformed"


def test_what_is_nested_without_end_is_malformed() -> None:
    for decode in (decode_ban, decode_pardon, decode_hello):
        with pytest.raises(RecordError) as caught:
            decode(b"\x91" * MAX_RECORD_BYTES)
        assert caught.value.cause == "malformed"
