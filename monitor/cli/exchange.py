"""Commands that export and import bans: plain lists, JSON, nft's set syntax."""

import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TextIO, cast

import click

from monitor.cli import show
from monitor.cli.bans import SetCommand, chosen_set, every_ban, set_options
from monitor.cli.enrichment.enricher import Enricher, options
from monitor.cli.enrichment.output import finish
from monitor.cli.export_follow import export_elsewhere
from monitor.cli.exported_bans import BLACKHOLE, NOTATIONS, SELF, Elsewhere, as_nft, next_hops, object_name
from monitor.cli.target import Target
from monitor.cli.values import BANTIME, NEXT_HOP
from monitor.config.types import parse_duration
from monitor.control.protocol import SET_WORDS, BanOrder, ListBans, RequestedBan, SetWord
from monitor.model.errors import NodewardenError
from monitor.model.parts import in_parts

_CHUNK = 2000
_MAX_FILE_BYTES = 256 << 20
_FORMATS = click.Choice(["plain", "json", "nft"])
_EXPORTS = click.Choice(["plain", "json", "nft", *NOTATIONS])
_NFT = re.compile(
    r"\btable\s+\S+\s+(?P<table>\S+)\s*(?=\{)|\bset\s+(?P<set>\S+)\s*(?=\{)"
    r"|\belement\s+\S+\s+(?P<of>\S+)\s+(?P<into>\S+)\s*(?=\{)|\{(?P<elements>[^{}]*)\}"
)
"""The parts of an nft listing that matter: which table, which set, and what is between braces."""
_DEFINITION = re.compile(r"\s*type(?:of)?\s|[^;]*;").match
"""Of what is in braces: a set without elements, a chain."""
_NFT_START = re.compile(
    r"(?:(?:add|create|delete|destroy|flush|table|set|elements|define|include)\b|elements?\s*=)"
).match
_OWN_TABLE = "nodewarden"
_FORMER_WORDS = {"block": "egress"}
"""What older versions called a kind of ban, with today's word."""
_MARK = "#nodewarden:"
_EXPORTED = re.compile(
    rf"{_MARK} (?P<set>{'|'.join(SET_WORDS)}) (?P<network>\S+) until=(?P<until>[0-9]{{1,12}})"
    r'(?: (?P<reason>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-f]{4})*"))?'
)
"""The comment of a line in a plain export."""
_MOST_REFUSALS = 20
_TIME_LEFT = re.compile(r"\b(expires|timeout)\s+(\S+)")


def _of_all_ports(bans: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the bans of all ports; say how many others there are."""
    left_out = 0
    for ban in bans:
        if ban.get("ports"):
            left_out += 1
        else:
            yield ban
    if left_out:
        show.say(f"{left_out} bans of some ports are left out: use --format json", err=True)


class UnreadableFileError(NodewardenError):
    """The file does not have the given format."""


@click.command("export")
@click.option("--format", "notation", type=_EXPORTS, default="plain", show_default=True)
@click.option("--set", "set_name", type=click.Choice(SET_WORDS), help="Only bans of this kind.")
@click.option("-f", "--follow", is_flag=True, help="Continue with what changes, until interrupted.")
@click.option("--name", default=object_name, show_default="nodewarden-HOST", help="Of the object: cilium, calico.")
@click.option(
    "--next-hop", "hops", type=NEXT_HOP, multiple=True, default=[SELF], help="Of routes, one by family (self): exabgp."
)
@click.option("--community", default=BLACKHOLE, show_default=True, help="Of routes: exabgp.")
@click.option(
    "--most",
    type=click.IntRange(1, 1_000_000),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Export at most the N newest bans: changes, exabgp, cilium, calico.",
)
@options()
@click.pass_obj
def export_bans(
    target: Target,
    /,
    notation: str,
    set_name: SetWord | None,
    follow: bool,
    name: str,
    hops: tuple[str, ...],
    community: str,
    most: int,
    **enrichment: Any,
) -> None:
    """Write the bans in force to standard output.

    A plain list has one network a line. Without --set, a comment of each line has kind, end and reason, so that
    `import` restores them; destinations are in comments only, which other programs ignore. With --set it is bare. Bans
    of some ports only are in the json alone: an address in a list means all ports.

    The formats changes (`add NETWORK`, `del NETWORK`), exabgp, cilium and calico are for those who enforce elsewhere,
    also with --follow. They have the bans of one set, by default those of proven offenders.
    """
    enricher = Enricher(**enrichment)
    if enricher.is_asked and notation != "json":
        raise click.UsageError("--asn and --rdns are for --format json: other formats have no place for it")
    if notation in NOTATIONS:
        elsewhere = Elsewhere(name=_word(name), next_hops=next_hops(hops), community=_word(community))
        export_elsewhere(target, set_name or "ban", notation, elsewhere, most, follow)
        return
    if follow:
        raise click.UsageError(f"--follow needs a format that names changes: --format {'|'.join(NOTATIONS)}")
    bans = every_ban(target, ListBans(set=set_name or "", sort="network"))
    if notation != "json":
        bans = _of_all_ports(bans)
    if notation == "json":
        show.as_json_list(enricher.enrich(bans))
        finish(enricher)
    elif notation == "nft":
        for line in as_nft(bans):
            show.say(line)
    else:
        show.say_all((ban["network"] for ban in bans) if set_name else map(as_plain, bans))


def _word(text: str) -> str:
    """Return an option that becomes part of a command of another program, if it is one word."""
    if not re.fullmatch(r"[0-9A-Za-z.:_-]+", text):
        raise click.UsageError(f"{text!r}: expected an address, a name or numbers with colons")
    return text


@click.command("import", cls=SetCommand)
@click.argument("file", type=click.File("r", encoding="utf-8", errors="backslashreplace"))
@click.option("--format", "notation", type=_FORMATS, help="Default: what the file starts like.")
@click.option(
    "--for", "bantime_s", type=BANTIME, default="1d", show_default=True, help="Ban time where the file has none."
)
@click.option("--reason", default="imported", show_default=True, help="Reason where the file has none.")
@set_options
@show.json_option
@click.pass_obj
def import_bans(
    target: Target,
    file: TextIO,
    notation: str | None,
    bantime_s: float,
    reason: str,
    shun: bool,
    egress: bool,
    is_json: bool,
) -> None:
    """Ban what a file lists; `-` reads standard input. What is banned already, and for as long, is no failure.

    plain: one address or network per line, # starts a comment. json: the output of `export --format json`. nft:
    elements in braces, as printed by `nft list set`.

    The kind of ban that the file names, as exports do, takes precedence over --shun and --egress. Files of older
    versions can be read: what they call `block` is imported as `egress`.
    """
    text = file.read(_MAX_FILE_BYTES)
    default = RequestedBan("", bantime_s, reason, chosen_set(shun, egress))
    wanted = list(_READERS[notation or notation_of(text)](text, default))
    answers: list[dict[str, Any]] = []
    try:
        for part in in_parts(wanted, _CHUNK):
            answers += target.ask(BanOrder(part, "import"))
            if sys.stderr.isatty():
                show.progress(f"{len(answers)} of {len(wanted)}")
    except KeyboardInterrupt:
        left = len(wanted) - len(answers)
        show.say(f"interrupted: {summary(answers)}; {left} left, of which up to {_CHUNK} may be done", err=True)
        sys.exit(1)
    if sys.stderr.isatty():
        show.progress("")
    refused = [one for one in answers if not is_banned(one)]
    if is_json:
        show.as_json_list(answers)
    else:
        show.say(summary(answers))
        for one in refused[:_MOST_REFUSALS]:
            show.say(f"{one['network']}: {one['text']}", err=True)
        if len(refused) > _MOST_REFUSALS:
            show.say(f"{len(refused) - _MOST_REFUSALS} more were refused: --json names all", err=True)
    sys.exit(1 if refused else 0)


def is_banned(answer: dict[str, Any]) -> bool:
    """Whether the network is banned now, by this order or as much before."""
    return bool(answer["done"]) or answer.get("verdict") == "covered"


def summary(answers: Sequence[dict[str, Any]]) -> str:
    """Count what an import has banned, what was banned before, and what was refused."""
    refused = sum(not is_banned(one) for one in answers)
    kept = sum(not one["done"] for one in answers) - refused
    known = f", {kept} banned already" if kept else ""
    return f"{len(answers) - refused - kept} banned{known}, {refused} refused"


def as_plain(ban: dict[str, Any]) -> str:
    """Return the line of a ban in a plain list; `read_plain` reads its comment."""
    reason = f" {json.dumps(ban['reason'])}" if ban["reason"] else ""
    network = ban["network"]
    comment = f"{_MARK} {ban['set']} {network} until={int(ban['until_s'])}{reason}"
    return comment if ban["set"] == "egress" else f"{network} {comment}"


def read_plain(text: str, default: RequestedBan) -> Iterator[RequestedBan]:
    """Yield the entries of a plain list; the daemon validates them.

    Comments of `as_plain` name kind, end and reason; bans that have ended are left out.
    """
    now_s = time.time()
    for line in text.splitlines():
        network, _, comment = line.partition("#")
        network = network.strip()
        if (exported := _EXPORTED.fullmatch(f"#{comment.rstrip()}")) and exported["network"] == (
            network or exported["network"]
        ):
            left_s = float(exported["until"]) - now_s
            if left_s >= 1:
                reason = json.loads(exported["reason"]) if exported["reason"] else default.reason
                yield RequestedBan(exported["network"], left_s, reason, cast("SetWord", exported["set"]))
        elif network:
            yield RequestedBan(network, default.bantime_s, default.reason, default.set)


def read_json(text: str, default: RequestedBan) -> Iterator[RequestedBan]:
    """Yield the bans of an export that have not ended; UnreadableFileError for any other JSON."""
    try:
        bans = json.loads(text)
        now_s = time.time()
        for ban in bans:
            network = str(ban["network"])
            left_s = float(ban["until_s"]) - now_s if "until_s" in ban else default.bantime_s
            word = ban.get("set", default.set)
            word = SET_WORDS[SET_WORDS.index(_FORMER_WORDS.get(word, word))]
            if left_s >= 1:
                ports = [str(port) for port in ban.get("ports", ())]
                yield RequestedBan(network, left_s, str(ban.get("reason") or default.reason), word, ports)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableFileError(f"not the JSON that `nodewarden export --format json` writes: {error!r}") from None


def read_nft(text: str, default: RequestedBan) -> Iterator[RequestedBan]:
    """Yield the elements between braces, with the time they have left; of our own table those of bans, by its sets.

    UnreadableFileError for a time that is none.
    """
    table = ""
    word: SetWord | None = default.set
    for part in _NFT.finditer(text):
        if part["elements"] is None:
            table = part["table"] or part["of"] or table
            word = _word_of(table, part["set"] or part["into"] or "", default.set)
        elif word and not _DEFINITION(part["elements"]):
            for element in part["elements"].split(","):
                if words := element.split():
                    # `ADDRESS . PORT` and `ADDRESS : VERDICT` are not bans of the address: the daemon refuses them
                    network = " ".join(words[:3]) if words[1:2] in (["."], [":"]) else words[0]
                    yield RequestedBan(network, _left_s(element, network, default.bantime_s), default.reason, word)


_READERS = {"plain": read_plain, "json": read_json, "nft": read_nft}


def notation_of(text: str) -> str:
    """Return the format of a file by the start of its first line that is no comment."""
    start = next((line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")), "")
    return "json" if start[:1] in ("[", "{") else "nft" if _NFT_START(start) else "plain"


def _word_of(table: str, name: str, default: SetWord) -> SetWord | None:
    """Return the kind of ban that a set holds; None for a set of our own table that holds no bans."""
    if table != _OWN_TABLE:
        return default
    word = name.removesuffix("_nets")[:-1]  # without the digit of the family
    word = _FORMER_WORDS.get(word, word)
    return next((known for known in SET_WORDS if known == word), None)


def _left_s(element: str, network: str, default_s: float) -> float:
    times = dict(_TIME_LEFT.findall(element))
    left = times.get("expires", times.get("timeout"))
    if not left:
        return default_s
    try:
        return max(1.0, parse_duration(left))
    except ValueError:
        raise UnreadableFileError(f"{left!r} after {network} is not a time") from None
