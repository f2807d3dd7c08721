"""Where a list may be fetched from, and how its address is shown. Pure."""

import ipaddress
from urllib.parse import urljoin, urlsplit

from monitor.lists.faults import ListCause, ListFault
from monitor.model.addresses import Address
from monitor.model.printable import printable

_LONGEST_URL = 2048


def is_special(address: Address) -> bool:
    """Whether an address is private, of this host, or otherwise none of the Internet."""
    one = ipaddress.ip_address(address)
    return not one.is_global or one.is_multicast


def next_url(url: str, place: str) -> str:
    """Return where a redirect from `url` leads, `place` is what its header says; ListFault if it is not followed."""
    moved = urljoin(url, place)
    if not place or len(moved) > _LONGEST_URL:
        raise ListFault(ListCause.REDIRECT, "it redirects, and does not say where the list is")
    if not url.startswith("https:") or urlsplit(moved).scheme != "https" or not urlsplit(moved).hostname:
        raise ListFault(
            ListCause.REDIRECT,
            f"it redirects to {source_of(moved)}; only https to https is followed: if it is right, configure it",
        )
    return moved


def source_of(url: str) -> str:
    """Write a URL without its query, which may hold a key, and without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(f"{parts.scheme}://{host}{parts.path}")[:300]
