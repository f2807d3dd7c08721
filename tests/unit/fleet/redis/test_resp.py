"""The parser of replies: every reply in every cut, and nothing but its own errors for what is none."""

import asyncio
import contextlib
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import InvalidResponse, RedisError, ResponseError

from monitor.fleet.redis.resp import MAX_BULK_BYTES, MAX_ITEMS, BoundedParser, OversizeError, Reply

SIMPLE = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=60))
REPLIES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=5), max_leaves=30)


def write(reply: object) -> bytes:
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case [*items]:
            return b"*%d\r\n%b" % (len(items), b"".join(map(write, items)))
    raise TypeError(reply)


def depth(reply: object) -> int:
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


def read(*chunks: bytes, count: int = 1) -> list[Reply]:
    """Read replies of which the server sends the chunks, one after the other, and closes."""

    async def run() -> list[Reply]:
        stream = asyncio.StreamReader()
        parser = BoundedParser(0)
        parser.on_connect(SimpleNamespace(_reader=stream))

        async def send() -> None:
            for chunk in chunks:
                stream.feed_data(chunk)
                await asyncio.sleep(0)
            stream.feed_eof()

        sending = asyncio.create_task(send())
        try:
            return [cast("Reply", await parser.read_response()) for _ in range(count)]
        finally:
            await sending

    return asyncio.run(run())


@settings(max_examples=60)
@given(st.lists(REPLIES.filter(lambda reply: depth(reply) <= 6), min_size=1, max_size=3), st.data())
def test_replies_are_read_however_they_are_cut(replies: list[object], data: st.DataObject) -> None:
    """Several in a row, in pieces of any size."""
    text = b"".join(map(write, replies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(*chunks, count=len(replies)) == replies


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=200), st.from_regex(rb"[$*:+-][-0-9]{0,12}\r\n[$*:+\-\r\n0-9a-z]{0,60}")))
def test_anything_else_is_a_reply_or_an_error(text: bytes) -> None:
    """No bytes of a server raise anything that the engine does not expect."""
    with contextlib.suppress(RedisError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        b"$%d\r\n" % (MAX_BULK_BYTES + 1),
        b"*%d\r\n" % (MAX_ITEMS + 1),
        b"*1\r\n" * 9,
        b"$99999999999999999999\r\n",
        b"*200\r\n" + b"$16000\r\n%b\r\n" % (b"x" * 16_000) * 200,
        b"*3\r\n" + (b"*9000\r\n" + b":1\r\n" * 9000) * 3,
    ],
)
def test_what_is_too_large_is_refused_at_its_announcement(text: bytes) -> None:
    """Nothing of it has to be there yet: the connection is closed before it is read."""
    with pytest.raises(OversizeError):
        read(text)


@pytest.mark.parametrize(
    "text", [b"$--0", b":--1", b":-", b":", b"*-", b"*+1", b":1-", b"$1_0", b": 1", b":1 ", b":\xb2", b"$" + b"9" * 30]
)
def test_what_only_resembles_a_number_is_none(text: bytes) -> None:
    """The numbers of the protocol are digits with one sign at most; `int` takes more, or raises."""
    with pytest.raises(InvalidResponse):
        read(text + b"\r\n0123456789\r\n")


def test_errors_of_the_server_are_replies() -> None:
    """Also within a list, as in the answer to EXEC."""
    (first, second) = read(b"-ERR no\r\n*2\r\n-WRONGTYPE x\r\n:1\r\n", count=2)
    assert isinstance(first, ResponseError)
    assert isinstance(second, list)
    assert [type(second[0]), second[1]] == [ResponseError, 1]
