"""Pseudonyms for addresses, so that a recording may leave the site.

The construction is that of Crypto-PAn (Xu, Fan, Ammar and Moon, "Prefix-Preserving IP Address Anonymization", 2002):
bit i of the pseudonym is bit i of the address, flipped if a keyed pseudorandom function of the i bits before it says
so. Two addresses with a common prefix of n bits so get pseudonyms with a common prefix of exactly n bits, and no two
addresses get the same one. The function is keyed BLAKE2b (RFC 7693); one call serves the eight bits of a byte, with a
bit of its output for each of the 255 prefixes that end within it.

Decisions depend on what some networks mean. No bit on the way to them is flipped, so each is mapped onto itself: into
private networks only from private networks, and loopback, link-local and multicast addresses stay what they are.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable

from monitor.model.addresses import Address, Network, format_address, network_of, parse_address, parse_network

MIN_KEY_BYTES = 16
_MAX_KEY_BYTES = 64
_MAX_KNOWN = 1 << 18
_PERSON = {4: b"nodewarden v4", 16: b"nodewarden v6"}
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.[0-9]{1,3}){0,3})"
    r"(?:/[0-9]{1,3})?(?![\w])"
)

MEANT = tuple(
    map(parse_network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "2000::/3"))
)
"""Networks that are mapped onto themselves, their hosts onto each other."""
FIXED = tuple(
    map(
        parse_network,
        ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/96", "fe80::/10", "ff00::/8"),
    )
)
"""Networks whose addresses are their own pseudonyms."""


class Pseudonyms:
    """Maps addresses by a key. The same key gives the same pseudonyms everywhere."""

    def __init__(self, key: bytes, fixed: Iterable[Network] = ()) -> None:
        """`key` has at least 16 random bytes, else ValueError; `fixed` networks keep their addresses, too."""
        if len(key) < MIN_KEY_BYTES:
            raise ValueError(f"a key has at least {MIN_KEY_BYTES} bytes, not {len(key)}")
        self._key = key if len(key) <= _MAX_KEY_BYTES else hashlib.blake2b(key).digest()
        self._fixed = (*FIXED, *fixed)
        self._straight = {
            (network.bits, length, int.from_bytes(network.address) >> (network.bits - length))
            for network in (*MEANT, *self._fixed)
            for length in range(network.prefix_length)
        }
        """Prefixes after which no bit is flipped."""
        self._known: dict[Address, Address] = {}

    def address(self, address: Address) -> Address:
        """Return the pseudonym of an address. ValueError if it is none."""
        found = self._known.get(address)
        if found is None:
            if len(address) not in _PERSON:
                raise ValueError(f"no address has {len(address)} bytes")
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            is_fixed = any(network.contains(address) for network in self._fixed)
            found = self._known[address] = address if is_fixed else self._mapped(address)
        return found

    def network(self, network: Network) -> Network:
        """Return the network that holds the pseudonyms of a network's addresses; ports stay."""
        mapped = network_of(self.address(network.address), network.prefix_length)
        return Network(mapped.address, mapped.prefix_length, network.ports)

    def word(self, kind: str, text: str) -> str:
        """Return a name in the place of another, the same each time; none for none."""
        if not text:
            return ""
        digest = hashlib.blake2b(
            text.encode(errors="surrogatepass"), key=self._key, digest_size=5, person=b"nodewarden w"
        )
        return f"{kind}-{digest.hexdigest()}"

    def text(self, text: str) -> str:
        """Return a text with its addresses and networks replaced."""
        return _ADDRESS.sub(lambda match: self._named(match[0]), text)

    def _named(self, text: str) -> str:
        for end in (len(text), len(text) - text.endswith(":")):  # a colon may follow
            with contextlib.suppress(ValueError):
                return self._name(text[:end]) + text[end:]
        return text

    def _name(self, text: str) -> str:
        """Return the pseudonym of an address or network as text. Raises ValueError."""
        head, slash, length = text.partition("/")
        address = parse_address(head)
        if not slash:
            return format_address(self.address(address))
        return str(self.network(network_of(address, min(int(length), len(address) * 8))))

    def _mapped(self, address: Address) -> Address:
        bits = len(address) * 8
        number = int.from_bytes(address)
        result = bytearray()
        for place, byte in enumerate(address):
            nodes = self._nodes(address[:place], bits)
            flips = 0
            for bit in range(8):
                before = byte >> (8 - bit)
                length = place * 8 + bit
                flip = nodes >> ((1 << bit) - 1 + before) & 1
                if flip and (bits, length, number >> (bits - length)) not in self._straight:
                    flips |= 0x80 >> bit
            result.append(byte ^ flips)
        return bytes(result)

    def _nodes(self, prefix: bytes, bits: int) -> int:
        """Return a bit for each prefix that ends within the byte after this one."""
        digest = hashlib.blake2b(prefix, key=self._key, digest_size=32, person=_PERSON[bits // 8])
        return int.from_bytes(digest.digest())
