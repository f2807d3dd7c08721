"""TLS for asyncio in a daemon that imported it as where OpenSSL is not installed (decision 0149)."""

import asyncio
import importlib
import ssl
from asyncio import base_events, selector_events, sslproto


def enable() -> None:
    """Have asyncio know TLS; without this a connection with TLS is closed as soon as it is open."""
    for module in (base_events, selector_events):
        if getattr(module, "ssl", asyncio) is None:
            vars(module)["ssl"] = ssl
    if getattr(sslproto, "ssl", asyncio) is None:
        importlib.reload(sslproto)  # it defines more if there is TLS
