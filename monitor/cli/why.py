"""The command that explains why an address is banned, or why not."""

from collections.abc import Mapping
from typing import Any

import click

from monitor.cli import completion, show
from monitor.cli.claims_report import explain_claims, explain_pardon
from monitor.cli.enrichment.enricher import Enricher, options
from monitor.cli.enrichment.output import finish, say_enrichment
from monitor.cli.origin import origin
from monitor.cli.past import describe_past
from monitor.cli.status import MAX_RULES, thresholds
from monitor.cli.target import Target
from monitor.cli.values import NETWORK
from monitor.control.protocol import Why


@click.command()
@click.argument("network", type=NETWORK, metavar="ADDRESS|NETWORK", shell_complete=completion.banned)
@options()
@show.json_option
@click.pass_obj
def why(target: Target, /, network: str, is_json: bool, **enrichment: Any) -> None:
    """Explain why an address is banned, or why not.

    --asn reads databases of yours; --rdns asks DNS, whose answer is what the other end claims to be.
    """
    enricher = Enricher(**enrichment)
    for result in enricher.enrich([target.ask(Why(network))]):
        if is_json:
            show.as_json(result)
        else:
            explain(result)
    finish(enricher)


def explain(result: dict[str, Any]) -> None:
    """Print what `Why` answered."""
    _explain_pods(result)
    if result["allowlist"]:
        show.say(f"{result['network']} is never banned: {_entry(result['allowlist'])}")
    elif not result["bans"]:
        but = ", but on a block list" if any(map(_is_stopped, result.get("lists", []))) else ""
        show.say(f"{result['network']} is not banned{' by nodewarden' if result['foreign'] else but}")
    effects = _EFFECTS | (_ANSWERED if result.get("action") == "reject" else {})
    for ban in result["bans"]:
        _explain_ban(ban, effects)
    for element in result["foreign"]:
        _explain_foreign(element, effects)
    for entry in result.get("lists", []):
        _explain_listed(entry)
    if result["leaked"]:
        hooks = " and ".join(result["leaked"])
        show.say(f"  but its traffic is still getting through: seen in {hooks} within ten minutes", fg="red")
    say_enrichment(result)
    explain_pardon(result.get("pardon"))
    _explain_scraper(result.get("scraper"))
    _explain_rules(result.get("rules", []))
    for counting in result["counting"]:
        shadow = "the shadow of " if counting.get("is_shadow") else ""
        show.say(f"  {shadow}{counting['detector']} counts {counting['count']} of {counting['maxretry']}")
    for detector, witnesses in result["witnesses"].items():
        seen = ", ".join(f"{count} from {witness}" for witness, count in witnesses.items())
        show.say(f"  evidence for the last alert of {detector}: {seen}")
    for line in (line for past in result["history"] for line in describe_past(past)):
        show.say(f"  {line}")


def _explain_scraper(scraper: dict[str, Any] | None) -> None:
    """Say that an address monitors this node."""
    if scraper:
        text = f"  it scraped metrics or asked for the health {show.duration(scraper['ago_s'])} ago"
        banned = ", and cannot now: if it is yours, unban it and add it to bans.allowlist"
        show.say(text + (banned if scraper["is_banned"] else ""), fg="red" if scraper["is_banned"] else None)


def _explain_pods(result: dict[str, Any]) -> None:
    """Name the pod that has the address, and pods that it tried to reach."""
    if result.get("pod"):
        show.say(f"{result['network']} is the address of pod {result['pod']} on this node")
    if hits := result.get("pods_hit"):
        pods = ", ".join(f"pod {pod} ({count} {'time' if count == 1 else 'times'})" for pod, count in hits.items())
        show.say(f"{result['network']} tried to reach {pods}")


def _explain_rules(rules: list[dict[str, Any]]) -> None:
    """Say which detectors have rules of their own for these addresses."""
    for rule in rules[:MAX_RULES]:
        mode, fires_at, bantime = thresholds(rule)
        rest = f"{mode}, fires at {fires_at}, bans for {bantime}" if bantime else "what they do does not count"
        show.say(f"  {rule['detector']} has rules of its own for {rule['network']}: {rest}")


def _entry(entry: dict[str, str]) -> str:
    return f"{entry['network']} is on the allowlist ({entry['reason']})"


_EFFECTS = {
    "ban": "every packet from it is dropped",
    "shun": "new connections from it are refused",
    "egress": "new connections to it are refused",
}
_ANSWERED = {
    "ban": "every packet from it is rejected with an answer, as far as the rate limit allows",
    "egress": "new connections to it are rejected with an answer, as far as the rate limit allows",
}
"""The effects where `bans.action` is `reject`."""


def _explain_ban(ban: dict[str, Any], effects: Mapping[str, str]) -> None:
    would = "would be" if ban["mode"] == "observe" else "is"
    effect = effects[ban["set"]]
    if ban.get("ports"):
        effect += f", at {', '.join(ban['ports'])} only"
    show.say(
        f"{ban['network']} {would} in the {ban['set']} set ({ban['strength']} evidence: {effect}) "
        f"since {show.moment(ban['since_s'])}, for another {show.duration(ban['left_s'])}, by {origin(ban)}"
        + (f": {ban['reason']}" if ban["reason"] else "")
    )
    explain_claims(ban)
    if ban["kernel"]:
        show.say(f"  dropped so far: {ban['kernel']['packets']} packets, {ban['kernel']['bytes']} bytes")
    elif ban["mode"] == "enforce":
        show.say("  but it is missing from the kernel's set", fg="red")


def _is_stopped(entry: dict[str, Any]) -> bool:
    """Whether the kernel stops packets for an entry of a block list."""
    return bool(entry["state"] == "in force" and not entry["is_spared"])


def _explain_listed(entry: dict[str, Any]) -> None:
    """Say on which block list an address is, and what follows from it."""
    if entry["is_spared"]:
        effect = "left out, because it is on the allowlist"
    elif _is_stopped(entry):
        effect = f"in force: {_EFFECTS[entry['set']]}"
    else:
        effect = entry["state"]
    show.say(
        f"  block list {entry['list']} has {entry['entry']} ({effect}), as of {show.moment(entry['fetched_s'])}, "
        f"until {show.moment(entry['expires_s'])} unless it is renewed"
    )


def _explain_foreign(element: dict[str, Any], effects: Mapping[str, str]) -> None:
    show.say(
        f"{element['network']} is in the {element['set']} set ({effects[element['set']]}), but no ban of nodewarden: "
        f"{element['reason']}; ends in: {show.time_left(element['left_s'])}; "
        f"`nodewarden unban {element['network']}` deletes it",
        fg="yellow",
    )
