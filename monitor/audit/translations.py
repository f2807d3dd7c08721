"""Ports that are translated to a pod or container: by whom, and what the rules for the node itself say about them."""

import msgspec

from monitor.audit.exposure import Service
from monitor.audit.facts import Facts
from monitor.audit.findings import RuleRef, Zone
from monitor.audit.reach import Outcome, Probe, Verdict
from monitor.audit.ruleset import Author

_CLUSTER = frozenset({Author.KUBE_PROXY, Author.CNI})
_WORST_FIRST = (Outcome.DROPPED, Outcome.REJECTED, Outcome.UNKNOWN, Outcome.REACHED)


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the probes of one service that the world sent and that left for a pod or container."""

    reached: tuple[Verdict, ...] = ()
    why_unknown: str = ""
    """Why nothing is known of the others; empty: all were answered."""
    author: Author = Author.OPERATOR
    without: Outcome = Outcome.UNKNOWN
    """What becomes of such a packet if nothing translates it: what `input` says."""

    @property
    def is_of_cluster(self) -> bool:
        """Whether the cluster declares it: a NodePort or host port."""
        return self.author in _CLUSTER

    @property
    def is_bypass(self) -> bool:
        """Whether the firewall of the node looks closed."""
        return self.without in (Outcome.DROPPED, Outcome.REJECTED)


class Translations:
    """All translations of a node, with what is looked up for each of them."""

    def __init__(self, facts: Facts) -> None:
        self._own = {verdict.probe.address for verdict in facts.reach.verdicts}
        self._without: dict[Probe, Outcome] = {one.probe: one.outcome for one in facts.reach.untranslated}
        self._chains = {(chain.family, chain.table, chain.name): chain for chain in facts.ruleset.chains}

    def of(self, service: Service) -> Translation | None:
        """Return what is known of a service that is translated to elsewhere; None if it is not."""
        away = [verdict for verdict in service.translated if self.leaves(verdict)]
        if not away:
            return None
        world = [verdict for verdict in away if verdict.probe.zone is Zone.WORLD]
        reached = tuple(verdict for verdict in world if verdict.outcome is Outcome.REACHED)
        without = {self._without.get(verdict.probe, Outcome.UNKNOWN) for verdict in reached}
        return Translation(
            reached=reached,
            why_unknown=next((one.why or "no answer" for one in world if one.outcome is Outcome.UNKNOWN), ""),
            author=self._author(reached[0] if reached else away[0]),
            without=next((outcome for outcome in _WORST_FIRST if outcome in without), Outcome.UNKNOWN),
        )

    def leaves(self, verdict: Verdict) -> bool:
        """Whether a verdict is about a packet that is translated to an address that is none of the node's."""
        to = verdict.to_address
        return bool(to) and to not in self._own and not to.startswith("127.") and to != "::1"

    def _author(self, verdict: Verdict) -> Author:
        for step in verdict.path:
            if step.verdict.startswith(("dnat", "redirect")):
                return self._author_of(step.rule)
        return Author.OPERATOR

    def _author_of(self, rule: RuleRef) -> Author:
        chain = self._chains.get((rule.family, rule.table, rule.chain))
        if chain is None:
            return author_by_name(rule.table, rule.chain)
        return next((one.author for one in chain.rules if one.ref.handle == rule.handle), chain.author)


def author_by_name(table: str, chain: str) -> Author:
    """Return whose a translation is, as far as names show: for a ruleset that could not be read."""
    if table == "kube-proxy" or chain.startswith("KUBE-"):
        return Author.KUBE_PROXY
    if chain.startswith(("CNI-", "cali-", "CILIUM")):
        return Author.CNI
    return Author.DOCKER if chain.startswith("DOCKER") else Author.OPERATOR
