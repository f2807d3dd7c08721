"""A loopback port of this machine that forwards to a host of the lab."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.support.lab import Host

_CHUNK_BYTES = 65536


@contextlib.contextmanager
def forwarded(host: Host, port: int, local_port: int) -> Iterator[str]:
    """Forward while the block runs; yield the address to open. Port 0 is any; OSError if it is taken."""
    listener = socket.create_server(("127.0.0.1", local_port))
    loop = asyncio.new_event_loop()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with host.entered():
            link = socket.socket()  # belongs to the host from now on
        link.settimeout(0)
        try:
            await loop.sock_connect(link, ("127.0.0.1", port))
            there, back = await asyncio.open_connection(sock=link)
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            link.close()
            writer.close()

    async def serve() -> None:
        async with await asyncio.start_server(lead, sock=listener) as server:
            await server.serve_forever()

    task = loop.create_task(serve())
    thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(5)


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    for rest in asyncio.all_tasks(loop):
        rest.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    writer.close()
