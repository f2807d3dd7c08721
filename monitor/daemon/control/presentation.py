"""How bans, notes, offences and decisions look to commands: plain data, addresses as text, times in seconds."""

import contextlib
import itertools
from typing import Any

import msgspec

from monitor.bans.decision import WRITTEN, Decision, Verdict
from monitor.bans.notes import Note
from monitor.bans.rules import DetectorPolicy
from monitor.enforcers.protocol import ForeignElement
from monitor.model.addresses import Network
from monitor.model.alerts import Evidence, RecordedEvidence, Strength
from monitor.model.bans import FOREIGN, WORDS, AllowEntry, Ban, Mode, Offence
from monitor.model.ports import show as show_ports

_MAX_RULES = 1000


def show_ban(ban: Ban, now_s: float) -> dict[str, Any]:
    """Show a ban as of now."""
    shown = describe_ban(ban)
    shown["left_s"] = max(0.0, ban.until_s - now_s)
    return shown


def describe_ban(ban: Ban) -> dict[str, Any]:
    """Show a ban, whenever that is."""
    return {
        "network": str(ban.network),
        "ports": show_ports(ban.network.ports) if ban.network.ports else [],
        "set": ban.word,
        "strength": ban.strength,
        "mode": ban.mode,
        "since_s": ban.since_s,
        "until_s": ban.until_s,
        "detector": ban.detector,
        "origin": ban.origin,
        "reason": ban.reason,
    }


def show_foreign(element: ForeignElement, now_s: float) -> dict[str, Any]:
    """Show an element that another program added like a ban; `until_s` and `left_s` are None if it never ends."""
    return {
        "network": str(element),
        "set": WORDS[element.strength],
        "strength": element.strength,
        "mode": Mode.ENFORCE,
        "since_s": element.seen_s,
        "until_s": element.until_s,
        "left_s": None if element.until_s is None else max(0.0, element.until_s - now_s),
        "detector": FOREIGN,
        "origin": FOREIGN,
        "reason": f"added by {element.author}",
    }


def show_entry(entry: AllowEntry | None) -> dict[str, str] | None:
    """Show what protects a network."""
    return None if entry is None else {"network": str(entry.network), "reason": entry.reason}


def show_network_rules(policy: DetectorPolicy, network: Network | None = None) -> list[dict[str, Any]]:
    """Show what differs for single networks, of all or of those that meet a network: at most a thousand."""
    if policy.networks is None:
        return []
    entries = policy.networks.entries.items() if network is None else filter(None, policy.networks.meeting(network))
    return [
        {
            "network": str(one),
            "mode": rule.mode,
            "maxretry": rule.maxretry,
            "findtime_s": rule.findtime_s,
            "bantime_s": rule.bantime_s,
            "is_allowed": rule.allowed is not None,
        }
        for one, rule in itertools.islice(dict.fromkeys(entries), _MAX_RULES)
    ]


def show_note(note: Note) -> dict[str, Any]:
    """Show one thing that happened lately."""
    shown: dict[str, Any] = {"time_s": note.time_s, "what": note.verdict}
    if note.alert:
        shown |= {
            "detector": note.alert.detector,
            "strength": note.alert.strength,
            **show_evidence(note.alert.evidence),
        }
    return shown


def show_offence(offence: Offence) -> dict[str, Any]:
    """Show an offence of the history."""
    shown: dict[str, Any] = {
        "time_s": offence.time_s,
        "what": offence.outcome,
        "standing": offence.standing,
        "detector": offence.detector,
        "strength": offence.strength,
        "bantime_s": offence.bantime_s,
        "step": offence.step,
        "reason": offence.reason,
    }
    if offence.evidence:
        with contextlib.suppress(msgspec.DecodeError):  # of an earlier version: the rest still tells the story
            evidence = msgspec.json.decode(offence.evidence, type=RecordedEvidence)
            shown |= {**show_evidence(evidence), "doubt": evidence.doubt}
    return shown


def show_evidence(evidence: Evidence) -> dict[str, Any]:
    """Show what an alert rests on."""
    return {
        "count": evidence.count,
        "maxretry": evidence.maxretry,
        "findtime_s": evidence.findtime_s,
        "first_s": evidence.first_s,
        "last_s": evidence.last_s,
        "counted": evidence.what,
        "sample": list(evidence.sample),
        "last": evidence.last,
    }


_PAST = {Strength.PROVEN: "banned", Strength.SPOOFABLE: "shunned", Strength.DESTINATION: "banned as a destination"}
_TEXTS = {
    Verdict.BAN: "{}",
    Verdict.REFRESH: "{} for longer",
    Verdict.CLAIM: "{} already for as long; this claim holds it too",
    Verdict.STALE: "refused: it would be over already",
    Verdict.FULL: "refused: there is no room (bans.max_bans), and no weaker ban that could yield",
}


def show_decision(decision: Decision) -> dict[str, Any]:
    """Show what became of an order."""
    done = decision.verdict in WRITTEN or decision.verdict is Verdict.CLAIM
    ban = decision.ban or decision.claim
    text = show_decision_reason(decision) or _TEXTS[decision.verdict].format(_PAST[ban.strength] if ban else "banned")
    return {"network": str(decision.network), "done": done, "verdict": decision.verdict, "text": text}


def show_decision_reason(decision: Decision) -> str:
    """Say what stood against a ban; empty if there is nothing to add to the verdict."""
    if decision.failure:
        return f"the kernel refused: {decision.failure}"
    if decision.entry:
        return f"refused: {decision.entry.network} is on the allowlist ({decision.entry.reason})"
    if decision.verdict is Verdict.COVERED and decision.ban:
        return f"nothing to do: {decision.ban.network} is {_PAST[decision.ban.strength]} already, and for as long"
    return ""
