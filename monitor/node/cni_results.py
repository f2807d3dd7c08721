"""Parses the results of CNI plug-ins that container runtimes keep: which pod has which addresses and namespace. Pure.

containerd, CRI-O and cri-dockerd call plug-ins by libcni, which writes one file for each interface of a pod and deletes
it with the pod (`libcni/api.go`: `cachedInfo`). So these files name pods for every CNI plug-in, without an API token.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from monitor.model.addresses import Address, parse_address
from monitor.model.errors import MalformedRecord
from monitor.model.pods import Pod
from monitor.node.documents import as_list, as_mapping, load_json

_KIND = "cniCacheV1"
_NAMESPACE_KEY, _NAME_KEY = "K8S_POD_NAMESPACE", "K8S_POD_NAME"
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label (RFC 1123), as Kubernetes requires."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_MAX_ADDRESSES = 16
_NETNS = re.compile(r"(?:/var)?(/run/(?:docker/)?netns/(?!\.{1,2}$)[^/\0]{1,255})")
"""A namespace's file; others, such as those of processes in /proc, exist only in the node's own view."""


class Attachment(msgspec.Struct, frozen=True):
    """One interface of a pod."""

    pod: Pod
    addresses: tuple[Address, ...]
    netns: str
    """The path of its network namespace; empty if it is not known."""


def parse_result(text: str) -> Attachment | None:
    """Read one file; None if it is of no pod. MalformedRecord for text in another format, or impossible names."""
    document = as_mapping(load_json(text))
    if document.get("kind") != _KIND:
        raise MalformedRecord("format", f"not a result of CNI ({_KIND})")
    named = dict(reversed(list(_pairs(document.get("cniArgs")))))  # the first of a name counts
    if not {_NAMESPACE_KEY, _NAME_KEY} <= named.keys():
        return None  # of a container that Kubernetes did not start
    namespace, name = named[_NAMESPACE_KEY], named[_NAME_KEY]
    if not (_NAMESPACE.fullmatch(namespace) and _NAME.fullmatch(name)):
        raise MalformedRecord("name", f"{namespace[:80]!r}/{name[:80]!r} is no name of a pod")
    result = as_mapping(document.get("result"))
    return Attachment(Pod(namespace, name), tuple(_addresses(result)), _netns(document, result))


def _pairs(arguments: Any) -> Iterator[tuple[str, str]]:
    for one in as_list(arguments):
        if isinstance(one, list) and len(one) == 2 and all(isinstance(word, str) for word in one):
            yield one[0], one[1]


def _addresses(result: dict[Any, Any]) -> Iterator[Address]:
    """Yield what `ips` lists; up to version 0.2.0 of CNI, `ip4` and `ip6` instead."""
    items = [as_mapping(one).get("address") for one in as_list(result.get("ips"))]
    items += [as_mapping(result.get(key)).get("ip") for key in ("ip4", "ip6")]
    for text in [one for one in items if isinstance(one, str)][:_MAX_ADDRESSES]:
        try:
            yield parse_address(text.partition("/")[0])
        except ValueError as error:
            raise MalformedRecord("address", str(error)) from error


def _netns(document: dict[Any, Any], result: dict[Any, Any]) -> str:
    """Return the namespace that the runtime gave, or the plug-in's sandbox (before libcni 1.2)."""
    sandboxes = [as_mapping(one).get("sandbox") for one in as_list(result.get("interfaces"))]
    for text in (document.get("netns"), *sandboxes):
        if isinstance(text, str) and (match := _NETNS.fullmatch(text)):
            return match[1]
    return ""
