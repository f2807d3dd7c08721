"""Looks up names in one thread of its own.

`getaddrinfo` can hang for half a minute and cannot be interrupted. In the loop's pool of threads, attempts to connect
every few seconds would occupy all of them, and saving and the rest would wait. So there is one thread at most: who
asks while it hangs waits for the same answer.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading

LOOKUP_S = 5.0


class Resolver:
    """Addresses of hosts; used on one loop."""

    def __init__(self) -> None:
        """Look up nothing yet."""
        self._pending: tuple[str, asyncio.Future[list[str]]] | None = None

    async def addresses(self, host: str) -> list[str]:
        """Return at least one address; OSError (TimeoutError) with a text for people if there is none."""
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        try:
            async with asyncio.timeout(LOOKUP_S):
                while self._pending is not None and self._pending[0] != host:
                    with contextlib.suppress(OSError):
                        await asyncio.shield(self._pending[1])
                future = self._pending[1] if self._pending is not None else self._start(host)
                return await asyncio.shield(future)
        except TimeoutError:
            raise OSError(f"the name {host} cannot be looked up: DNS does not answer") from None
        except socket.gaierror as error:
            raise OSError(f"the name {host} cannot be looked up: {error.strerror}") from error

    def _start(self, host: str) -> asyncio.Future[list[str]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str]] = loop.create_future()
        self._pending = (host, future)

        def finish(result: list[str] | OSError) -> None:
            self._pending = None
            if isinstance(result, OSError):
                future.set_exception(result)
                future.exception()  # nobody may be waiting any more
            else:
                future.set_result(result)

        def work() -> None:
            result: list[str] | OSError
            try:
                found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                result = list(dict.fromkeys(str(one[4][0]) for one in found))
            except (OSError, UnicodeError) as error:
                result = error if isinstance(error, OSError) else OSError(f"{host} is no name of a host")
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(finish, result)

        threading.Thread(target=work, name="fleet-dns", daemon=True).start()
        return future
