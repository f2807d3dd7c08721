"""A process that scrapes like Prometheus, but more often: run by the benchmark `scrape`, inside the lab.

`python -m bench.scraper COUNT` scrapes the daemon's default address COUNT times, consecutively on one connection, and
prints one line per scrape: seconds until the whole response was received, and its bytes. 0: until it is killed.
"""

import http.client
import sys
import time
from itertools import count

_HOST, _PORT = "127.0.0.1", 9843
_HEADERS = {"Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"}


def main() -> None:
    """Scrape."""
    wanted = int(sys.argv[1])
    connection = http.client.HTTPConnection(_HOST, _PORT, timeout=10)
    for _ in range(wanted) if wanted else count():
        start_s = time.perf_counter()
        connection.request("GET", "/metrics", headers=_HEADERS)
        body = connection.getresponse().read()
        print(time.perf_counter() - start_s, len(body), flush=True)


if __name__ == "__main__":
    main()
