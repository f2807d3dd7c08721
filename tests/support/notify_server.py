"""A webhook for the lab, as `python -m tests.support.notify_server ADDRESS PORT DIRECTORY`, until it is killed.

It appends each body to DIRECTORY/messages, a line each, and answers with the status in DIRECTORY/status, or 200. What
it does not answer with 200 it does not note.
"""

import http.server
import json
import sys
from pathlib import Path


class _Handler(http.server.BaseHTTPRequestHandler):
    directory: Path

    def do_POST(self) -> None:
        """Note a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.directory / "status"
        code = int(status.read_text()) if status.exists() else 200
        if code == 200:
            with (self.directory / "messages").open("a") as file:
                file.write(json.dumps(json.loads(body)) + "\n")
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    _Handler.directory = Path(sys.argv[3])
    with http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), _Handler) as server:
        server.serve_forever()
