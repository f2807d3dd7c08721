"""Commands that explain: the state of the daemon, and why an address is banned or not."""

from collections.abc import Mapping
from typing import Any

import click

from monitor.cli import completion, show
from monitor.cli.claims_report import explain_claims, explain_pardon
from monitor.cli.fleet_report import fleet_lines
from monitor.cli.mode_line import mode_line
from monitor.cli.notify_report import channel_line
from monitor.cli.origin import origin
from monitor.cli.past import describe_past
from monitor.cli.target import Target
from monitor.cli.values import NETWORK
from monitor.control.protocol import Status, Why

_MAX_NOTICES = 10
_MAX_RULES = 10
_ODDITIES = ("ignored", "unusable", "misdated", "outdated", "stale", "timeouts", "skipped")
"""Counters of a filter that are shown only above zero."""


@click.command()
@click.option("--check", is_flag=True, help="Print only problems; exit code 1 if there are any.")
@show.json_option
@click.pass_context
def status(context: click.Context, check: bool, is_json: bool) -> None:
    """Show the state of the daemon: first whether it enforces or only observes, then problems, then the rest."""
    result = context.obj.ask(Status())
    if is_json:
        show.as_json(result)
    elif check:
        _verdict(result["problems"])
    else:
        show.say(mode_line(result), fg=None if result["problems"] else "green")
        _problems(result["problems"])
        if result.get("trial"):
            show.say(result["trial"], fg="yellow")
        _everything(result)
    context.exit(1 if check and result["problems"] else 0)


def _verdict(problems: list[str]) -> None:
    _problems(problems)
    if not problems:
        show.say("all is well", fg="green")


def _problems(problems: list[str]) -> None:
    for problem in problems:
        show.say_lines(f"PROBLEM: {problem}", "  ", fg="red", bold=True)


def _everything(result: dict[str, Any]) -> None:
    bans = result["bans"]
    show.say(f"nodewarden {result['version']}, up {show.duration(result['uptime_s'])}, {result['configuration']}")
    show.say(
        f"bans in force: {bans['ban']} ban, {bans['shun']} shun, {bans['egress']} egress; "
        f"observed only: {bans['observed']}; table inet nodewarden {result['table']}"
        f"{', which rejects' if result.get('action') == 'reject' else ''}; "
        f"metrics {result['metrics'] or 'off'}"
    )
    if harm := result.get("harm"):
        text = f"maybe: {harm['text']}" if harm["text"] else "no sign of it"
        show.say(f"do bans hurt others than offenders? in 15 min: {text}", fg="yellow" if harm["text"] else None)
    if fleet := result.get("fleet"):
        _fleet(fleet)
    _sections(result)


def _fleet(fleet: dict[str, Any]) -> None:
    """Say how the fleet is, and who differs in what."""
    text, is_wrong = next(fleet_lines(fleet))
    show.say(text, fg="red" if is_wrong else None)
    if fleet["differences"]:
        subjects = ", ".join(dict.fromkeys(one["subject"] for one in fleet["differences"]))
        show.say(f"nodes of the fleet differ ({subjects}): `nodewarden fleet status` names them", fg="yellow")


def _sections(result: dict[str, Any]) -> None:
    """Print sources, filters, detectors, drops by set, the size of the allowlist, and notices."""
    show.say()
    _sources(result["sources"])
    if result["filters"]:
        show.say()
        _filters(result["filters"])
    show.say()
    show.table(
        ("DETECTOR", "MODE", "FIRES AT", "BANTIME", "ALERTS", "WINDOW", "FROM"),
        [
            row
            for detector in result["detectors"]
            for row in (
                (
                    detector["name"],
                    *_thresholds(detector),
                    str(detector["alerts"]),
                    f"{detector['window_entries']} entries, {detector['evicted_keys']} evicted",
                    detector.get("from", ""),
                ),
                *(
                    (f"  {rule['network']}", *_thresholds(rule), "", "", "")
                    for rule in detector.get("networks", [])[:_MAX_RULES]
                ),
                *_more_rules(len(detector.get("networks", [])) - _MAX_RULES),
                *_shadow(detector.get("shadow")),
            )
        ],
    )
    stopped = {name: drop for name, drop in result["dropped"].items() if drop["packets"]}
    show.say()
    for name, drop in stopped.items():
        show.say(f"{name} stopped {drop['packets']} packets, {drop['bytes']} bytes")
    for one in result.get("lists", []):
        left_out = f", {one['dropped']} left out because they are allowed" if one["dropped"] else ""
        hits = (
            f"; {one['hits']} packets {'stopped' if one['state'] == 'in force' else 'counted'}" if one["hits"] else ""
        )
        show.say(f"block list {one['name']} ({one['set']}) {one['state']}: {one['entries']} networks{left_out}{hits}")
    for one in result.get("notify", []):
        show.say(channel_line(one))
    show.say(f"{result['allowlist']} networks are never banned (`nodewarden allow list` shows them)")
    notices = [notice for notice in result["notices"] if notice != result.get("trial")]
    for notice in notices[:_MAX_NOTICES]:
        show.say(f"note: {notice}")
    if len(notices) > _MAX_NOTICES:
        show.say(f"{len(notices) - _MAX_NOTICES} more notes: see `nodewarden status --json`")


def _thresholds(rules: dict[str, Any]) -> tuple[str, str, str]:
    """Write mode, threshold and ban time of a detector, or of one network."""
    if rules.get("is_allowed"):
        return "allowlist", "does not count", ""
    fires_at = f"{rules['maxretry']} within {show.duration(rules['findtime_s'])}"
    return rules["mode"], fires_at, show.duration(rules["bantime_s"])


def _shadow(shadow: dict[str, Any] | None) -> list[tuple[str, ...]]:
    """Write the thresholds that a detector only tries, and whom they find compared with the real ones."""
    if not shadow:
        return []
    fires_at = f"{shadow['maxretry']} within {show.duration(shadow['findtime_s'])}"
    found = shadow["sources"]
    compared = f"{found['shadow']} sources more, {found['real']} fewer, {found['both']} the same"
    return [("  shadow", "counts", fires_at, "", str(shadow["alerts"]), compared, "")]


def _more_rules(count: int) -> list[tuple[str, ...]]:
    """Say how many more networks have rules of their own."""
    return [(f"  {count} more networks: see --json", *[""] * 6)] if count > 0 else []


def _sources(sources: list[dict[str, Any]]) -> None:
    keys = ("name", "state", "records", "events", "lost", "malformed")
    show.table(
        ("SOURCE", "STATE", "RECORDS", "EVENTS", "LOST", "MALFORMED", "LAG", "ALSO"),
        [
            (
                *(str(source[key]) for key in keys),
                "" if source["lag_s"] is None else f"{source['lag_s'] * 1000:.1f} ms",
                show.counts(source["other"]),
            )
            for source in sources
        ],
    )


def _filters(filters: list[dict[str, Any]]) -> None:
    show.table(
        ("FILTER OF", "FILTER", "STATE", "READS", "CANDIDATES", "FAILURES", "EVIDENCE", "ALSO"),
        [
            (
                one["detector"],
                one["filter"],
                one["state"],
                show.first(one["reads"]),
                str(one["candidates"]),
                str(one["failures"]),
                one["evidence"],
                show.counts({key: one[key] for key in _ODDITIES if key in one}),
            )
            for one in filters
        ],
    )


@click.command()
@click.argument("network", type=NETWORK, metavar="ADDRESS|NETWORK", shell_complete=completion.banned)
@show.json_option
@click.pass_obj
def why(target: Target, network: str, is_json: bool) -> None:
    """Explain why an address is banned, or why not."""
    result = target.ask(Why(network))
    if is_json:
        show.as_json(result)
    else:
        explain(result)


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
    for rule in rules[:_MAX_RULES]:
        mode, fires_at, bantime = _thresholds(rule)
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
