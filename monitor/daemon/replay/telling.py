"""How a pipeline is told what takes more than one call: orders, and what an earlier run left."""

from collections.abc import Callable

from monitor.daemon.life.saved_windows import resume
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.model.bans import Ban, ClaimKey, claim_key
from monitor.recording.inputs import Order, Ordered, Restored
from monitor.state.changes import SavedContent


def obey(pipeline: Pipeline, one: Ordered) -> None:
    """Carry out an order."""
    now_s = one.time_s
    match one.what:
        case Order.BAN:
            pipeline.order(one.bans, now_s)
        case Order.UNBAN:
            pipeline.unban(one.networks, now_s)
        case Order.LIFT:
            pipeline.lift(one.networks, now_s)
        case Order.FORGET:
            pipeline.forget_refused(now_s)
        case Order.ALLOW:
            pipeline.allow(one.entries, now_s)
        case Order.DISALLOW:
            pipeline.disallow(one.networks, now_s)
        case Order.FLUSH:
            pipeline.flush(now_s)


def restore(pipeline: Pipeline, one: Restored) -> None:
    """Have in force, counted and known what an earlier run left."""
    now_s = one.time_s
    pipeline.now_s = now_s
    if one.services:
        pipeline.evidence.services.remember([(known.service, known.seen_s) for known in one.services], now_s)
    resume(pipeline, {name: SavedContent(it.saved_s, it.content) for name, it in one.windows.items()}, now_s)
    if one.allowed:
        pipeline.allow_again(one.allowed, now_s)
    if one.is_late:
        pipeline.policy.relearn(one.offences)
        _forget(pipeline, {claim_key(claim) for claim in one.claims}, now_s)
    else:
        pipeline.policy.remember(one.offences)
    for claim in one.claims:
        pipeline.ledger.put(claim, now_s)
    pipeline.bans.spare(now_s)


def _forget(pipeline: Pipeline, wanted: set[ClaimKey], now_s: float) -> None:
    """Strike out claims that other ones explain by now."""
    for known in list(pipeline.ledger.all_claims()):
        if (key := claim_key(known)) not in wanted:
            pipeline.ledger.withdraw(known.network, known.strength, _is(key), now_s)


def _is(key: ClaimKey) -> Callable[[Ban], bool]:
    return lambda claim: claim_key(claim) == key
