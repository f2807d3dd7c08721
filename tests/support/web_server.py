"""A web server for the lab, as `python -m tests.support.web_server ADDRESS PORT`, until it is killed."""

import asyncio
import sys

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: %s\r\n\r\nhello"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests on one connection, as long as the client keeps it open."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            keeps = b"keep-alive" in head.lower()
            writer.write(_ANSWER % (b"keep-alive" if keeps else b"close"))
            await writer.drain()
            if not keeps:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(address: str, port: int) -> None:
    server = await asyncio.start_server(_serve, address, port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
