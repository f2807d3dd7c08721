"""A server that takes what is posted to it, and answers as a test says; on loopback, in threads."""

import email
import email.message
import json
import re
import socket
from typing import Any

from tests.support.list_server import ListServer


class HookServer(ListServer):
    """Keeps whole requests: head and body."""

    def receive(self, client: socket.socket) -> bytes:
        """Read a request with its body."""
        head, _, body = super().receive(client).partition(b"\r\n\r\n")
        found = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
        length = int(found[1]) if found else 0
        while len(body) < length and (part := client.recv(65536)):
            body += part
        return head + b"\r\n\r\n" + body

    @property
    def bodies(self) -> list[Any]:
        """The JSON that was posted."""
        return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.requests]

    @property
    def heads(self) -> list[email.message.Message]:
        """The headers of the requests."""
        heads = (request.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2] for request in self.requests)
        return [email.message_from_bytes(head) for head in heads]
