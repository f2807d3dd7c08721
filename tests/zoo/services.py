"""Services of a host, as `python -m tests.zoo.services tcp:PORTS udp:PORTS`, until it is killed.

TCP: greets on the ports of protocols in which the server speaks first, answers whatever it reads, and keeps the
connection until the client closes it. UDP: sends back what it reads.
"""

import asyncio
import contextlib
import resource
import socket
import sys

_GREETINGS = {
    21: b"220 zoo FTP\r\n",
    22: b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    25: b"220 zoo ESMTP\r\n",
    143: b"* OK zoo IMAP4\r\n",
}
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nzoo"
_BACKLOG = 1024
_IP_PKTINFO = 8  # linux/in.h; the socket module has it since Python 3.14


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    port = writer.get_extra_info("sockname")[1]
    with contextlib.suppress(ConnectionError):
        writer.write(_GREETINGS.get(port, b""))
        while await reader.read(65536):
            writer.write(_ANSWER)
            await writer.drain()
    writer.close()


def _echo(server: socket.socket) -> None:
    """Send a datagram back, from the address that it was sent to: a host has many."""
    data, ancillary, _, client = server.recvmsg(65536, 256)
    for _, kind, info in ancillary:
        if kind == _IP_PKTINFO:  # struct in_pktinfo: index, local address, address in the header
            answer = [(socket.SOL_IP, _IP_PKTINFO, bytes(4) + info[8:12] + bytes(4))]
            with contextlib.suppress(OSError):  # an ICMP error for an earlier one
                server.sendmsg([data], answer, 0, client)


def _serve_datagrams(port: int) -> None:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_IP, _IP_PKTINFO, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # clients use the port at an address of their own
    server.bind(("0.0.0.0", port))
    server.setblocking(False)
    asyncio.get_running_loop().add_reader(server, _echo, server)


def ports_of(text: str) -> list[int]:
    """Return the ports of a list such as `22,80,30000-30019`."""
    ranges = [part.partition("-") for part in text.split(",") if part]
    return [port for first, _, last in ranges for port in range(int(first), int(last or first) + 1)]


async def _main(services: list[str]) -> None:
    for service in services:
        protocol, _, ports = service.partition(":")
        for port in ports_of(ports):
            if protocol == "tcp":
                listener = socket.create_server(
                    ("::", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
                )
                await asyncio.start_server(_serve, sock=listener)
            else:
                _serve_datagrams(port)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    asyncio.run(_main(sys.argv[1:]))
