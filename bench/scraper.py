"""A process that scrapes as Prometheus does, only more often: run by the benchmark `scrape`, inside the lab.

`python -m bench.scraper COUNT` scrapes the daemon's default address so often, one scrape after the other on one
connection, and prints a line for each: seconds until the whole answer was there, and its bytes. 0: until it is ended.
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
