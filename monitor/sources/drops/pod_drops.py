"""Adds up what was dropped in pods' network namespaces, by pod: the pods with most drops have series of their own."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from monitor.ebpf.reasons import ReasonClass
from monitor.metrics.metric import Sample
from monitor.model.pods import Pod

METRIC = "nodewarden_pod_dropped_packets_total"
OTHER = Pod("other", "other")
"""Stands for pods without series of their own, for namespaces that are no pod's, and for a pod that is named so."""
_TURN_S = 60.0
_MARGIN = 2
"""How many times as many drops as a pod with series another one must have had in a turn, to get its place."""


class PodDrops:
    """Totals by pod, from the totals by namespace of the program that counts.

    No counter falls: what a pod lost before it got its series stays in `other`, and so does what it loses later, once
    a pod with more drops took its place.
    """

    def __init__(self, pod_of: Callable[[int], Pod | None]) -> None:
        """Ask `pod_of` whose a namespace is, by its inode number."""
        self._pod_of = pod_of
        self._before: dict[int, tuple[int, ...]] = {}
        self._totals: dict[Pod, list[int]] = {}
        self._other = [0] * len(ReasonClass)
        self._lately: Counter[Pod] = Counter()
        """Drops in this turn; there are as many pods as the program counts namespaces, at most."""
        self._turn_s = float("-inf")

    def count(self, namespaces: Mapping[int, tuple[int, ...]], most: int, now_s: float) -> None:
        """Take in the program's totals by namespace; the increase counts for whose the namespace is now.

        At most `most` pods have series. `now_s` is any clock in seconds.
        """
        before, self._before = self._before, dict(namespaces)
        for inode, totals in namespaces.items():
            known = before.get(inode)
            if known is None or any(now < then for now, then in zip(totals, known, strict=True)):
                known = (0,) * len(totals)  # it is new, or the program forgot it in between
            if totals != known:
                self._add(self._pod_of(inode) or OTHER, totals, known, most)
        if not 0 <= now_s - self._turn_s < _TURN_S:
            self._turn_s = now_s
            self._exchange(most)

    def samples(self) -> Iterator[Sample]:
        """Yield the totals."""
        for pod, totals in (*self._totals.items(), (OTHER, self._other)):
            for kind, packets in zip(ReasonClass, totals, strict=True):
                yield METRIC, (pod.namespace, pod.name, kind.value), packets

    def _add(self, pod: Pod, now: tuple[int, ...], then: tuple[int, ...], most: int) -> None:
        if pod != OTHER and pod not in self._totals and len(self._totals) < most:
            self._totals[pod] = [0] * len(now)
        sums = self._totals.get(pod, self._other)
        for number, (after, earlier) in enumerate(zip(now, then, strict=True)):
            sums[number] += after - earlier
        if pod != OTHER:
            self._lately[pod] += sum(now) - sum(then)

    def _exchange(self, most: int) -> None:
        """Give series to pods that dropped far more in this turn than those that have them."""
        lately, self._lately = self._lately, Counter()
        waiting = [(count, pod) for pod, count in lately.items() if pod not in self._totals]
        having = sorted((lately[pod], pod) for pod in self._totals)
        for _, pod in having[: max(0, len(having) - most)]:  # the setting was lowered
            del self._totals[pod]
        for (few, old), (many, new) in zip(having[-most:], sorted(waiting, reverse=True), strict=False):
            if many <= _MARGIN * few:
                return
            del self._totals[old]
            self._totals[new] = [0] * len(ReasonClass)
