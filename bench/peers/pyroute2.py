"""Debian's pyroute2, unpacked below build/: its decoder of conntrack messages, in this process."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.registry import progress

HOME = Path("build/peers/pyroute2").absolute()
"""The directory of the unpacked package."""
_MODULES = HOME / "usr/lib/python3/dist-packages"
_TIMEOUT_S = 120


def fetch() -> bool:
    """Unpack the package if it is missing; return whether it is available."""
    if _MODULES.exists():
        return True
    HOME.mkdir(parents=True, exist_ok=True)
    try:
        # As root: apt's own user may not write to a build directory.
        download = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "python3-pyroute2"]
        subprocess.run(download, cwd=HOME, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        (package,) = HOME.glob("*.deb")
        unpack = ["dpkg", "-x", str(package), str(HOME)]
        subprocess.run(unpack, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        progress(f"pyroute2 is not available for comparison: {error.stderr.strip() or error}")
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        progress(f"pyroute2 is not available for comparison: {error}")
    return _MODULES.exists()


def decoder() -> Callable[[bytes], tuple[Any, ...]]:
    """Return a function that decodes one message and reads the fields that flow detectors need.

    pyroute2 decodes nested attributes on access, so addresses and ports of both tuples, and status are accessed.
    """
    sys.path.insert(0, str(_MODULES))
    try:
        message_class = importlib.import_module("pyroute2.netlink.nfnetlink.nfctsocket").nfct_msg
    finally:
        sys.path.remove(str(_MODULES))

    def decode(raw: bytes) -> tuple[Any, ...]:
        message = message_class(raw)
        message.decode()
        return (
            *_tuple(message.get_attr("CTA_TUPLE_ORIG")),
            *_tuple(message.get_attr("CTA_TUPLE_REPLY")),
            message.get_attr("CTA_STATUS"),
            message.get_attr("CTA_ID"),
        )

    return decode


def _tuple(attributes: Any) -> tuple[Any, ...]:
    addresses, numbers = attributes.get_attr("CTA_TUPLE_IP"), attributes.get_attr("CTA_TUPLE_PROTO")
    return (
        addresses.get_attr("CTA_IP_V4_SRC") or addresses.get_attr("CTA_IP_V6_SRC"),
        addresses.get_attr("CTA_IP_V4_DST") or addresses.get_attr("CTA_IP_V6_DST"),
        numbers.get_attr("CTA_PROTO_NUM"),
        numbers.get_attr("CTA_PROTO_SRC_PORT"),
        numbers.get_attr("CTA_PROTO_DST_PORT"),
    )
