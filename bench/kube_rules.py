"""The rules of a Kubernetes node as in kube-proxy's nftables mode: a load for programs that read all rules."""

from collections.abc import Iterator

_ENDPOINTS = 2
RULES_PER_SERVICE = 1 + 3 * _ENDPOINTS


def kube_proxy_rules(services: int) -> str:
    """Return one transaction for nft(8): `services` cluster addresses, each with a chain and two endpoints.

    The layout is that of Kubernetes' pkg/proxy/nftables: a verdict map from address, protocol and port to the chain of
    a service, which selects an endpoint, whose chain translates the destination. It selects by one rule per endpoint
    (as in the iptables mode), not by an anonymous map: the kernel takes minutes to find names for 10,000.
    """
    return "\n".join(_lines(services)) + "\n"


def _lines(services: int) -> Iterator[str]:
    yield "table ip kube-proxy {"
    yield "  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }"
    elements = []
    for service in range(services):
        name = f"service-{service:05d}/tcp/web"
        address = _address("10.96", service)
        elements.append(f"{address} . tcp . 80 : goto {name}")
        yield from _service(name, address, service)
    yield "  map service-ips {"
    yield "    type ipv4_addr . inet_proto . inet_service : verdict"
    if elements:
        yield f"    elements = {{ {', '.join(elements)} }}"
    yield "  }"
    yield "  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }"
    yield "  chain nat-prerouting { type nat hook prerouting priority dstnat; jump services; }"
    yield "  chain nat-output { type nat hook output priority -100; jump services; }"
    yield "}"


def _service(name: str, address: str, service: int) -> Iterator[str]:
    choices = []
    for number in range(_ENDPOINTS):
        endpoint = f"endpoint-{service:05d}-{number}"
        pod = _address("10.244", service * _ENDPOINTS + number)
        choices.append(f"    numgen random mod {_ENDPOINTS - number} 0 goto {endpoint}")
        yield f"  chain {endpoint} {{"
        yield f"    ip saddr {pod} jump mark-for-masquerade"
        yield f"    meta l4proto tcp dnat to {pod}:8080"
        yield "  }"
    yield f"  chain {name} {{"
    yield f"    ip daddr {address} tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade"
    yield from choices
    yield "  }"


def _address(start: str, number: int) -> str:
    return f"{start}.{number >> 8}.{number & 0xFF}"
