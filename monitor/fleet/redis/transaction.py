"""Commands that take effect together, and what the server refuses of them."""

from collections.abc import Sequence

from redis.exceptions import (
    AskError,
    ClusterDownError,
    ExecAbortError,
    MovedError,
    ResponseError,
    TryAgainError,
)

from monitor.fleet.redis.link import Command, Link
from monitor.fleet.redis.resp import Reply

ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Another server may take the command: connect again."""


class Refused(Exception):  # noqa: N818 - named after what the server does
    """The server answered a command with an error; the connection is sound."""

    def __init__(self, command: Command, error: ResponseError) -> None:
        """`command` is the one that was refused."""
        super().__init__(str(error))
        self.command, self.error = command, error

    @property
    def doing(self) -> str:
        """Say what was refused: the command, and the key where it has one."""
        words = [word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word) for word in self.command[:2]]
        return " ".join(words)


async def transact(link: Link, commands: Sequence[Command], *after: Command) -> tuple[list[Reply], list[Reply]]:
    """Run commands in one transaction, and others after it that may fail; return the replies of both.

    Raises Refused if nothing or not all of the transaction took effect.
    """
    replies = await link.call(("MULTI",), *commands, ("EXEC",), *after)
    queued, done, rest = replies[1 : len(commands) + 1], replies[len(commands) + 1], replies[len(commands) + 2 :]
    for command, reply in zip(commands, queued, strict=True):
        if isinstance(reply, ResponseError):
            raise Refused(command, reply)
    if isinstance(done, ResponseError):
        raise Refused(commands[0] if isinstance(done, ExecAbortError) else ("EXEC",), done)
    results = done if isinstance(done, list) else []
    for command, reply in zip(commands, results, strict=False):
        if isinstance(reply, ResponseError):
            raise Refused(command, reply)
    return results, rest


async def scan(link: Link, key: bytes, cursor: bytes, count: int) -> tuple[bytes, Reply]:
    """Read a part of a hash; return the cursor of the next part (`0`: there is none) and the pairs."""
    (reply,) = await all_of(link, ("HSCAN", key, cursor, "COUNT", count))
    match reply:
        case [bytes(following), list(pairs)]:
            return following, pairs
    return b"0", None


async def all_of(link: Link, *commands: Command) -> list[Reply]:
    """Run commands at once; raise Refused if one was."""
    replies = await link.call(*commands)
    for command, reply in zip(commands, replies, strict=True):
        if isinstance(reply, ResponseError):
            raise Refused(command, reply)
    return replies
