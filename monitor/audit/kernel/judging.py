"""Has the child judge, and makes verdicts of what became of the packets."""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.audit.findings import Zone
from monitor.audit.kernel.copied import Copy, Dump, prepare_copy
from monitor.audit.kernel.faults import JudgeError
from monitor.audit.kernel.job import Answer, Job, LinkCopy, Result, Socket
from monitor.audit.kernel.origins import Literals, find_origins
from monitor.audit.kernel.questions import Asked, Port, named_addresses, plan, translated_ports, unnamed_ports
from monitor.audit.kernel.site import Link, Route, Site
from monitor.audit.kernel.unlike import unlike
from monitor.audit.kernel.verdicts import judge_answer, most_open
from monitor.audit.reach import Listener, Outcome, Probe, Reach, Verdict

TIME_LIMIT_S = 20.0
_LONGEST_S = 90.0
_MAX_TRACED = 3000
_MAX_SOCKETS = 16_384
_MAX_LOSS, _MAX_LOSS_CHARS = 32, 512
_MAX_RESULT_BYTES = 64 << 20


def judge_reach(
    dump: Dump,
    site: Site,
    listeners: Sequence[Listener],
    *,
    zones: Sequence[Zone] = tuple(Zone),
    pod_networks: Sequence[str] = (),
    only: Port | None = None,
) -> Reach:
    """Return what packets from these zones reach, at all ports or at one.

    JudgeError if the kernel can judge nothing.
    """
    copy = prepare_copy(dump)
    literals = Literals([*(table.text for table in copy.loaded), *(text for _, text in copy.restores)])
    origins = list(find_origins(site, literals, zones, pod_networks))
    addresses = frozenset(str(one.ip) for link in site.links for one in link.interfaces())
    translated = translated_ports(copy.tables, addresses) if only is None else {only}
    unnamed = unnamed_ports(listeners, translated) if only is None else ()
    tried = listeners[:_MAX_SOCKETS]
    asked, unasked = plan(site, origins, tried, translated, unnamed, named_addresses(copy.tables, addresses))
    job = _job(copy, site, [*_anybody(unnamed), *tried], asked, [origin.link for origin in origins])
    result = _run(job) if asked else Result()
    if result.error:
        raise JudgeError(result.error)
    loss = [*copy.loss, *site.loss, *result.loss]
    if left_out := len(listeners) - len(tried):
        loss.append(f"{left_out} listeners: there are too many")
    if unasked:
        loss.append(f"{unasked} probes: there are too many")
    return Reach(
        listeners=tuple(listeners),
        verdicts=(*_verdicts(copy, site, asked, result), *(_left_out(site, addresses, tried) if only is None else ())),
        untranslated=tuple(_untranslated(copy, site, asked, result)),
        unnamed=tuple(_unnamed(copy, site, asked, result)),
        blind=site.blind,
        loss=_some(loss),
    )


def _some(loss: Iterable[str]) -> tuple[str, ...]:
    """Return the first of these texts, each once, and how many more there are."""
    found = list(dict.fromkeys(text[:_MAX_LOSS_CHARS] for text in loss))
    more = (f"and {len(found) - _MAX_LOSS} more",) if len(found) > _MAX_LOSS else ()
    return (*found[:_MAX_LOSS], *more)


def _job(copy: Copy, site: Site, listeners: Sequence[Listener], asked: Sequence[Asked], links: Iterable[Link]) -> Job:
    used = {link.name for link in links}
    routes = [*site.routes, *_missing_defaults(site, used)]
    sockets = [
        Socket(protocol=one.protocol, address=one.address, port=one.port, is_v6_only=one.is_v6_only, device=one.device)
        for one in listeners
    ]
    return Job(
        links=tuple(
            LinkCopy(name=link.name, mac=link.mac, addresses=link.addresses, group=link.group) for link in site.links
        ),
        routes=tuple(route.command() for route in routes),
        is_whole=not site.loss,
        sysctls=site.sysctls,
        tables=tuple(table.text for table in copy.loaded),
        restores=copy.restores,
        sockets=tuple(sockets),
        questions=tuple(one.question for one in asked),
        traced=min(len(asked), _MAX_TRACED),
        limiting=tuple(copy.limiting()),
        translating=tuple(_translating(copy)),
        from_world=tuple(number for number, one in enumerate(asked) if one.probe.zone is Zone.WORLD),
        time_limit_s=TIME_LIMIT_S,
    )


def _anybody(ports: Iterable[Port]) -> Iterator[Listener]:
    """Yield listeners at all addresses, which only the copy has."""
    for protocol, port in ports:
        yield Listener(protocol=protocol, address="::", port=port)


def _translating(copy: Copy) -> Iterator[tuple[str, str, str]]:
    """Yield the base chains that translate destinations of packets from outside."""
    for table in copy.tables:
        for name, chain in table.chains.items():
            if (chain.type, chain.hook) == ("nat", "prerouting"):
                yield table.family, table.name, name


def _missing_defaults(site: Site, used: set[str]) -> Iterator[Route]:
    """Yield default routes for answers: a node without one may get a packet from anywhere all the same."""
    for to, is_v6 in (("0.0.0.0/0", False), ("::/0", True)):
        if any(route.is_default and route.is_v6 == is_v6 for route in site.routes):
            continue
        uplinks = [link for link in site.uplinks(is_v6=is_v6) if link.name in used]
        if uplinks:
            yield Route(to=to, link=uplinks[0].name)


def _run(job: Job) -> Result:
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "monitor.audit.kernel.child"],  # -P: nothing in the current directory is ours
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        try:
            printed, problems = child.communicate(msgspec.msgpack.encode(job), timeout=_LONGEST_S)
        except subprocess.TimeoutExpired:
            raise JudgeError(f"the copy of the rules did not answer within {_LONGEST_S:g} s") from None
        finally:
            child.kill()
    try:
        return msgspec.msgpack.decode(printed[:_MAX_RESULT_BYTES], type=Result)
    except msgspec.DecodeError:
        said = problems.decode(errors="replace").strip().rpartition("\n")[2][:256]
        raise JudgeError(f"the copy of the rules failed ({child.returncode}): {said}") from None


def _verdicts(copy: Copy, site: Site, asked: Sequence[Asked], result: Result) -> Iterator[Verdict]:
    """Yield one verdict for each probe: of several interfaces of a zone the most open one counts."""
    why = _doubt(copy, site, result)
    found: dict[Probe, Verdict] = {}
    translated: set[tuple[bool, str, int]] = set()
    listened: set[Probe] = set()
    for one, answer, verdict in _judged(copy, asked, result):
        if one.is_unnamed:
            continue
        if answer.to_address:
            translated.add((one.probe.is_v6, one.probe.protocol, one.probe.port))
        if one.has_listener:
            listened.add(one.probe)
        before = found.get(one.probe)
        found[one.probe] = verdict if before is None else most_open(before, verdict)
    for probe, verdict in found.items():
        if probe in listened or (probe.is_v6, probe.protocol, probe.port) in translated:
            yield doubted(verdict, why) if why else verdict


def _left_out(site: Site, addresses: frozenset[str], listeners: Iterable[Listener]) -> Iterator[Verdict]:
    """Yield a verdict for each listener whose address is of an interface that there are too many of."""
    for one in listeners if site.loss else ():
        if one.address not in addresses and one.address not in ("0.0.0.0", "::") and not one.is_loopback:  # noqa: S104
            probe = Probe(zone=Zone.WORLD, protocol=one.protocol, address=one.address, port=one.port)
            yield Verdict(probe=probe, outcome=Outcome.UNKNOWN, why="the interface of its address is not in the copy")


def _judged(copy: Copy, asked: Sequence[Asked], result: Result) -> Iterator[tuple[Asked, Answer, Verdict]]:
    """Yield for each question its answer, and what that means if the copy is complete."""
    undecided = set(result.undecided)
    for number, (one, answer) in enumerate(zip(asked, result.answers, strict=False)):
        is_traced = number < _MAX_TRACED
        verdict = judge_answer(copy, one.probe, answer, has_listener=one.has_listener, is_traced=is_traced)
        if number in undecided and verdict.outcome != Outcome.REACHED:
            limits = "rules limit the rate of packets, and there was no time to ask again"
            verdict = msgspec.structs.replace(verdict, outcome=Outcome.UNKNOWN, why=limits)
        if why := unlike(copy, one.probe, answer, is_traced=is_traced):
            verdict = doubted(verdict, why)
        yield one, answer, verdict


def _unnamed(copy: Copy, site: Site, asked: Sequence[Asked], result: Result) -> Iterator[Verdict]:
    """Yield what becomes of the ports that no rule names."""
    why = _doubt(copy, site, result)
    for one, _, verdict in _judged(copy, asked, result):
        if one.is_unnamed:
            yield doubted(verdict, why) if why else verdict


def _untranslated(copy: Copy, site: Site, asked: Sequence[Asked], result: Result) -> Iterator[Verdict]:
    """Yield what becomes of translated probes of the world if nothing translates them."""
    why = _doubt(copy, site, result)
    for number, answer in result.untranslated:
        verdict = judge_answer(copy, asked[number].probe, answer, has_listener=True)
        yield doubted(verdict, why) if why else verdict


def doubted(verdict: Verdict, why: str) -> Verdict:
    """Return the verdict as unknown; the text says what the copy made of the probe."""
    said = f"{verdict.outcome} in the copy of the rules, but {why}"
    return msgspec.structs.replace(verdict, outcome=Outcome.UNKNOWN, why=said)


def _doubt(copy: Copy, site: Site, result: Result) -> str:
    """Return why no verdict can be relied on; empty if all can."""
    if site.blind:
        return site.blind[0]
    lost = [copy.loaded[position] for position in result.lost_tables if position < len(copy.loaded)]
    if base := [table for table in lost if table.hooks]:
        return f"table {base[0].family} {base[0].name} could not be copied"
    if result.is_incomplete:
        return "rules of iptables could not be copied"
    return ""
