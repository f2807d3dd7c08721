"""What LAPI decided, as far as it is known here, and what follows from an answer. Pure; used by one thread only.

LAPI's stream of changes loses some: the cursor is LAPI's, so an answer that is lost on its way never comes again. All
that LAPI has is therefore read at the start, each hour, and after each answer that failed; what is held and is not in
it has ended.

Several decisions may be about one network: its claim ends with the last of them.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from monitor.crowdsec.answer import Items, WireDecision, decode_decision
from monitor.crowdsec.claims import Claim, Outcome, Reader, Unwanted, claim_name
from monitor.crowdsec.settings import CrowdsecSettings
from monitor.model.bans import Mode

MAX_OBSERVED = 2048
"""Decisions that are held while observing: more would displace what detectors of this node observed."""
_FEW = 20
"""Claims of which more than half may vanish at once without doubt."""

Place = tuple[bytes, str]
"""What a claim is about, and its name: `Claim.key` and `Claim.name`."""


class Plan(NamedTuple):
    """What follows from an answer."""

    wanted: list[Claim]
    """Claims that should be held, each with its end, which may be earlier than before."""
    ended: list[Place]
    outcomes: Counter[Outcome]
    """What became of decisions that were refused."""
    is_doubted: bool = False
    """Most of what was held is missing, so it is kept until LAPI confirms that: ask again for all."""


class Pulled:
    """The decisions that are held, by LAPI's number."""

    def __init__(self, settings: CrowdsecSettings, *, is_believed: bool = False) -> None:
        """Nothing is known yet. `is_believed`: the first answer may end any claim, however many."""
        self._reader = Reader(settings)
        is_observed = settings.mode is Mode.OBSERVE
        self._limit = min(settings.max_decisions, MAX_OBSERVED) if is_observed else settings.max_decisions
        self._held: dict[int, Claim] = {}
        self._was_doubted = is_believed

    def __len__(self) -> int:
        """Return how many decisions are held."""
        return len(self._held)

    def seed(self, claims: Iterable[Claim]) -> None:
        """Take claims of an earlier run: they end unless LAPI's first answer has them."""
        self._held = {-number: claim for number, claim in enumerate(claims, 1)}

    def whole(self, chunks: Iterable[bytes], now_s: float) -> Plan:
        """Take an answer with all decisions that LAPI has; LapiError if it is malformed, and nothing changed."""
        outcomes: Counter[Outcome] = Counter()
        found: dict[int, Claim] = {}
        for name, item in _items(chunks):
            if name == "new" and (read := self._read(item, now_s, outcomes)):
                if len(found) < self._limit:
                    found[read[0]] = read[1]
                else:
                    outcomes[Outcome.SURPLUS] += 1
        before, after = self._ends(now_s), _ends_of(found.values())
        missing = before.keys() - after.keys()
        is_doubted = len(before) > _FEW and 2 * len(missing) > len(before) and not self._was_doubted
        if is_doubted:
            kept = (claim for claim in self._held.values() if (claim.key, claim.name) in missing)
            found |= {-number: claim for number, claim in enumerate(kept, 1)}
            missing = set()
        self._was_doubted = is_doubted
        self._held = found
        return Plan(list(after.values()), sorted(missing), outcomes, is_doubted)

    def changes(self, chunks: Iterable[bytes], now_s: float) -> Plan:
        """Take an answer with what changed since the last one; LapiError if it is malformed, and nothing changed."""
        outcomes: Counter[Outcome] = Counter()
        found: dict[int, Claim] = {}
        gone: dict[int, WireDecision] = {}
        for name, item in _items(chunks):
            if name == "new" and (read := self._read(item, now_s, outcomes)):
                if read[0] in self._held or len(self._held) + len(found) < self._limit:
                    found[read[0]] = read[1]
                else:
                    outcomes[Outcome.SURPLUS] += 1
            elif name == "deleted" and (decision := _decoded(item, outcomes)):
                gone[decision.id] = decision
        touched = {(claim.key, claim.name) for claim in found.values()}
        for number, decision in gone.items():
            claim = self._held.get(number)
            if claim is not None and claim.name == claim_name(decision.origin.lower()):
                touched.add((claim.key, claim.name))
                del self._held[number]
        for number, claim in found.items():
            if (earlier := self._held.get(number)) is not None:  # LAPI's database was wiped, and counts anew
                touched.add((earlier.key, earlier.name))
            self._held[number] = claim
        if not touched:
            return Plan([], [], outcomes)
        ends = self._ends(now_s, touched)
        return Plan(list(ends.values()), sorted(touched - ends.keys()), outcomes)

    def _read(self, item: bytes, now_s: float, outcomes: Counter[Outcome]) -> tuple[int, Claim] | None:
        decision = _decoded(item, outcomes)
        if decision is None:
            return None
        try:
            return decision.id, self._reader.claim(decision, now_s)
        except Unwanted as why:
            outcomes[why.outcome] += 1
            return None

    def _ends(self, now_s: float, places: set[Place] | None = None) -> dict[Place, Claim]:
        """Return for each place the claim that ends last, without those that are over."""
        return _ends_of(
            claim
            for claim in self._held.values()
            if claim.until_s > now_s and (places is None or (claim.key, claim.name) in places)
        )


def _ends_of(claims: Iterable[Claim]) -> dict[Place, Claim]:
    ends: dict[Place, Claim] = {}
    for claim in claims:
        place = claim.key, claim.name
        other = ends.get(place)
        if other is None or other.until_s < claim.until_s:
            ends[place] = claim
    return ends


def _decoded(item: bytes, outcomes: Counter[Outcome]) -> WireDecision | None:
    try:
        return decode_decision(item)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        outcomes[Outcome.MALFORMED] += 1
        return None


def _items(chunks: Iterable[bytes]) -> Iterable[tuple[str, bytes]]:
    items = Items()
    for chunk in chunks:
        yield from items.feed(chunk)
    items.finish()
