"""The command that shows the state of the daemon."""

from typing import Any

import click

from monitor.cli import show
from monitor.cli.audit_line import audit_line
from monitor.cli.fleet_report import fleet_lines
from monitor.cli.mode_line import mode_line
from monitor.cli.notify_report import channel_line
from monitor.control.protocol import Status

_MAX_NOTICES = 10
MAX_RULES = 10
"""Networks with rules of their own that are shown for a detector."""
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
    if audit := result.get("audit"):
        text, is_grave = audit_line(audit)
        show.say(text, fg="yellow" if is_grave else None)
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
                    *thresholds(detector),
                    str(detector["alerts"]),
                    f"{detector['window_entries']} entries, {detector['evicted_keys']} evicted",
                    detector.get("from", ""),
                ),
                *(
                    (f"  {rule['network']}", *thresholds(rule), "", "", "")
                    for rule in detector.get("networks", [])[:MAX_RULES]
                ),
                *_more_rules(len(detector.get("networks", [])) - MAX_RULES),
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


def thresholds(rules: dict[str, Any]) -> tuple[str, str, str]:
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
