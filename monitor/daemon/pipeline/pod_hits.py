"""Remembers which pods a source tried to reach, for `nodewarden why`. Pure."""

from collections import OrderedDict
from collections.abc import Iterable

from monitor.model.addresses import Address
from monitor.model.events import PacketLogged
from monitor.model.flows import Flow
from monitor.model.pods import Pods

MAX_SOURCES = 4096
MAX_PODS = 8


class PodHits:
    """Attempts by source and pod. At most `MAX_SOURCES` are held, the latest, and `MAX_PODS` for each, the first.

    A forged flood displaces what is held: then `why` names fewer pods, and nothing else depends on it.
    """

    def __init__(self, pods: Pods) -> None:
        """Ask `pods` which pod an address is."""
        self._pods = pods
        self._hits: OrderedDict[Address, dict[str, int]] = OrderedDict()

    def note_flows(self, flows: Iterable[Flow]) -> None:
        """Take flows as they open: the pod is the address that answers, behind a service or NodePort too."""
        if self._pods:
            for flow in flows:
                self._note(flow.source, flow.real_destination)

    def note_packets(self, events: Iterable[PacketLogged]) -> None:
        """Take packets that a firewall logged: those it dropped open no flow."""
        if self._pods:
            for event in events:
                self._note(event.source, event.destination)

    def of(self, source: Address) -> dict[str, int]:
        """Return how often a source tried to reach each pod (`NAMESPACE/POD`), most first."""
        return dict(sorted(self._hits.get(source, {}).items(), key=lambda pair: (-pair[1], pair[0])))

    def _note(self, source: Address, destination: Address) -> None:
        pod = self._pods.pod_of(destination)
        if pod is None or self._pods.pod_of(source) == pod:
            return
        hits = self._hits.get(source)
        if hits is None:
            hits = self._hits[source] = {}
            if len(self._hits) > MAX_SOURCES:
                self._hits.popitem(last=False)
        else:
            self._hits.move_to_end(source)
        if pod in hits or len(hits) < MAX_PODS:
            hits[pod] = hits.get(pod, 0) + 1
