"""Commands that list, set and end bans."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import click
import msgspec

from monitor.cli import completion, show
from monitor.cli.enrichment.enricher import Enricher, options
from monitor.cli.enrichment.output import finish
from monitor.cli.origin import detector_of, origin
from monitor.cli.target import Target
from monitor.cli.values import BANTIME, NETWORK, NETWORK_OR_ALL, NETWORK_OR_RANGE, PORTS
from monitor.config.kinds import near
from monitor.control.client import DaemonUnreachable, NotAllowed
from monitor.control.fleet_requests import DEFAULT_PARDON_S, FleetPardon
from monitor.control.protocol import (
    MAX_PAGE,
    SET_WORDS,
    BanOrder,
    Flush,
    ListBans,
    RequestedBan,
    SetWord,
    Status,
    Unban,
)
from monitor.model.bans import NOT_DETECTORS

_OTHER_LISTED = ("import", "restored", "foreign")
"""Names in the column DETECTOR that are no detectors', in addition to NOT_DETECTORS."""


def set_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the kind of ban."""
    shun = click.option("--shun", is_flag=True, help="Refuse only new inbound connections instead of every packet.")
    egress = click.option("--egress", is_flag=True, help="Refuse new outbound connections to them instead.")
    return shun(egress(command))


class SetCommand(click.Command):
    """A command with `set_options`; it reports the new name of an option of older versions."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as any command does."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name != "--block":
                raise
            raise click.UsageError("No such option '--block': it is called --egress now.", ctx) from None


def chosen_set(shun: bool, egress: bool) -> SetWord:
    """Return the kind of ban that the options select."""
    if shun and egress:
        raise click.UsageError("--shun and --egress exclude each other")
    return "shun" if shun else "egress" if egress else "ban"


def every_ban(target: Target, request: ListBans, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield bans page by page, at most `most`. The next page is on its way while one is yielded."""
    if most == 0:
        return
    ahead = ThreadPoolExecutor(1, "next page")
    try:
        page = target.ask(_paged(request, most))
        while True:
            most = None if most is None else most - len(page["bans"])
            coming = None
            if page["cursor"] and (most is None or most > 0):
                request = msgspec.structs.replace(request, cursor=page["cursor"])
                coming = ahead.submit(target.ask, _paged(request, most))
            yield from page["bans"]
            if coming is None:
                return
            page = coming.result()
    finally:
        ahead.shutdown(wait=False, cancel_futures=True)


def _paged(request: ListBans, most: int | None) -> ListBans:
    return msgspec.structs.replace(request, limit=MAX_PAGE if most is None else min(most, MAX_PAGE))


@click.command("list")
@click.option("--observed", is_flag=True, help="Also show bans that are observed but not enforced.")
@click.option(
    "--detector",
    shell_complete=completion.detectors,
    default="",
    help="Only bans of this detector, of another node (peer NAME), or manual, import, restored, recidive, prefix, "
    "foreign, fleet.",
)
@click.option("--set", "set_name", type=click.Choice(SET_WORDS), help="Only bans of this kind.")
@click.option(
    "--within", type=NETWORK_OR_ALL, default="", metavar="NETWORK", help="Only bans that overlap this network."
)
@click.option("--sort", type=click.Choice(["since", "ends", "network"]), default="since", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show at most N bans.")
@click.option("--offset", type=click.IntRange(min=0), metavar="N", default=0, help="Skip the first N bans.")
@options()
@show.json_option
@click.pass_obj
def list_bans(
    target: Target,
    /,
    observed: bool,
    detector: str,
    set_name: SetWord | None,
    within: str,
    sort: Literal["since", "ends", "network"],
    limit: int | None,
    offset: int,
    is_json: bool,
    **enrichment: Any,
) -> None:
    """List the bans in force, newest first; after them, elements that other programs added to the kernel's sets.

    Networks of block lists are not among them: see `nodewarden lists status`.

    --asn reads databases of yours; --rdns asks DNS, whose answers are what the other end claims to be.
    """
    request = ListBans(
        observed=observed,
        foreign=True,
        detector=detector_of(detector),
        set=set_name or "",
        within=within,
        sort=sort,
        offset=offset,
    )
    enricher = Enricher(**enrichment)
    bans = enricher.enrich(every_ban(target, request, limit))
    columns = ("NETWORK", "SET", "ENDS IN", "DETECTOR", *enricher.columns, "REASON")
    if is_json:
        show.as_json_list(bans)
    elif not show.table(columns, (_row(ban, enricher.cells(ban)) for ban in bans)):
        show.say(f"no bans{_hint(target, request, is_detector=request.detector == detector)}")
    finish(enricher)


def _hint(target: Target, request: ListBans, *, is_detector: bool) -> str:
    """Say why a list may be empty: a detector that is not there, or bans that are only observed."""
    status = target.ask(Status())
    names = sorted({*NOT_DETECTORS, *_OTHER_LISTED, *(one["name"] for one in status["detectors"])})
    if request.detector and is_detector and request.detector not in names:
        meant = near(request.detector, names)
        return f": there is no detector {request.detector}" + (f"; did you mean {meant}?" if meant else "")
    observed = 0 if request.observed else status["bans"]["observed"]
    listed = sum(one["entries"] for one in status.get("lists", []))
    return "".join(
        [
            f"; {observed} are only observed: nodewarden list --observed" if observed else "",
            f"; {listed} networks of block lists are not shown: nodewarden lists status" if listed else "",
        ]
    )


def _row(ban: dict[str, Any], more: tuple[str, ...]) -> tuple[str, ...]:
    word = ban["set"] if ban["mode"] == "enforce" else f"({ban['set']})"
    ports = f" ({', '.join(ban['ports'])})" if ban.get("ports") else ""
    return ban["network"], word + ports, show.time_left(ban["left_s"]), origin(ban), *more, ban["reason"]


@click.command(cls=SetCommand)
@click.argument("networks", nargs=-1, required=True, type=NETWORK, metavar="ADDRESS|NETWORK...")
@click.option("--for", "bantime_s", type=BANTIME, default="1h", show_default=True, help="Ban time.")
@click.option("--reason", default="", help="Reason, shown by `list` and `why`.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=PORTS,
    help="Drop only what is sent to this port: tcp/22, udp/5060-5061, 80, ssh. May be repeated.",
)
@set_options
@click.option("--fleet", is_flag=True, help="On all nodes of the fleet, for as long as they adopt (fleet.max_bantime).")
@show.json_option
@click.pass_obj
def ban(
    target: Target,
    networks: tuple[str, ...],
    bantime_s: float,
    reason: str,
    ports: tuple[str, ...],
    shun: bool,
    egress: bool,
    fleet: bool,
    is_json: bool,
) -> None:
    """Ban addresses or networks. Allowlisted ones are refused.

    With --fleet, other nodes take the ban over as they do one of a detector: each checks its own allowlist.
    """
    word = chosen_set(shun, egress)
    if fleet and egress:
        raise click.UsageError("bans of destinations are never shared with the fleet")
    if ports and egress:
        raise click.UsageError("a destination cannot be banned by port")
    wanted = [RequestedBan(network, bantime_s, reason, word, list(ports)) for network in networks]
    answer(target.ask(BanOrder(wanted, fleet=fleet)), is_json)


@click.command()
@click.argument(
    "networks", nargs=-1, type=NETWORK_OR_RANGE, metavar="ADDRESS|NETWORK...", shell_complete=completion.banned
)
@click.option("--all", "everything", is_flag=True, help="End all bans.")
@click.option("--fleet", is_flag=True, help="Pardon them: on all nodes of the fleet, which take no ban of them over.")
@click.option("--for", "for_s", type=BANTIME, help="With --fleet: how long the pardon lasts. [default: 1d]")
@click.option("--reason", default="", help="With --fleet: reason, shown by `why`.")
@show.json_option
@click.pass_obj
def unban(
    target: Target,
    networks: tuple[str, ...],
    everything: bool,
    fleet: bool,
    for_s: float | None,
    reason: str,
    is_json: bool,
) -> None:
    """End bans early, and delete elements that other programs added to the kernel's sets.

    A ban of this node ends on the nodes that took it over, too. With --fleet, every node ends its bans of these
    networks, no matter which node decided them; nodes that observe the fleet keep their own. A detector may ban them
    again where they offend again.
    """
    if bool(networks) == everything:
        raise click.UsageError("name the addresses to unban, or give --all")
    if fleet and everything:
        raise click.UsageError("name the addresses to pardon: --all is for this node only")
    if not fleet and (for_s is not None or reason):
        raise click.UsageError("--for and --reason are for a pardon: add --fleet")
    if fleet:
        pardon = FleetPardon(list(networks), DEFAULT_PARDON_S if for_s is None else for_s, reason)
        answer(target.ask(pardon), is_json)
    else:
        answer(target.ask(Unban(list(networks), everything)), is_json)


@click.command()
@show.json_option
@click.pass_obj
def flush(target: Target, is_json: bool) -> None:
    """End all bans and block lists. Without a daemon their tables are removed; that of a daemon comes back empty."""
    try:
        result = target.ask(Flush())
        text = f"{result['ended']} bans ended; the table inet nodewarden was removed, and comes back without bans"
    except NotAllowed:
        raise
    except DaemonUnreachable:
        from monitor.daemon.life.enforcers import remove_table

        existed = remove_table()
        result = {"ended": None, "removed": existed}
        text = "the table inet nodewarden is removed" if existed else "there was no table inet nodewarden"
    if is_json:
        show.as_json(result)
    else:
        show.say(text)


def answer(answers: list[dict[str, Any]], is_json: bool) -> None:
    """Print an answer for each network; exit code 1 if one of them was refused."""
    if is_json:
        show.as_json(answers)
    else:
        for answer in answers:
            show.say(f"{answer['network']}: {answer['text']}", err=not answer["done"])
    if not all(answer["done"] for answer in answers):
        sys.exit(1)
