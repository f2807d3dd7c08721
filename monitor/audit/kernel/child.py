"""The process in the throw-away namespace: reads a job, judges, writes the result. Nothing else calls it.

`python -m monitor.audit.kernel.child`
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from monitor.audit.kernel.job import Answer, Job, Question, Result, Socket, TraceStep
from monitor.audit.kernel.network import Network
from monitor.audit.kernel.programs import ProgramFailed, die_with_parent, enter_network, limit, run
from monitor.audit.kernel.sending import Sender
from monitor.audit.kernel.trace import POLICY, Traced, rule_handles
from monitor.audit.kernel.untranslated import ask_untranslated

_MEMORY_BYTES = 1 << 30
_GRACE_S = 20
_ATTEMPTS = 2
_FRESH_BATCH = 4
"""Questions between two copies of rules that limit rates: the least burst by default is five packets."""
_FRESH_S = 4.0
"""Time for these, which a copy of many rules takes the most of."""
_MAX_ATTEMPT = 60
_TRACE_TABLE = "nodewarden_audit_trace"
_FIRST = -2147483648


def main() -> int:
    """Read a job on standard input, write the result to standard output; 0, also if nothing could be judged."""
    die_with_parent()
    limit(resource.RLIMIT_AS, _MEMORY_BYTES)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    job = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job)
    signal.alarm(int(job.time_limit_s) + _GRACE_S)
    try:
        result = judge(job)
    except (OSError, ProgramFailed, MemoryError) as error:
        result = Result(error=str(error) or repr(error))
    sys.stdout.buffer.write(msgspec.msgpack.encode(result))
    return 0


def judge(job: Job) -> Result:
    """Return the answers to a job's questions; the process stays in a network namespace of its own."""
    deadline_s = time.monotonic() + job.time_limit_s
    network = Network()
    network.build(job)
    result = Result(loss=network.loss)
    _load(job, network, result)
    sender = Sender(network, job.sockets, job.questions)
    result.loss += sender.loss
    traced, others = range(job.traced), range(job.traced, len(job.questions))
    _trace(job, network, result)
    result.undecided = _ask(job, network, sender, traced, deadline_s)
    if others:
        _nft(f"delete table netdev {_TRACE_TABLE}", network)
        _nft(f"delete table inet {_TRACE_TABLE}", network)
        result.undecided += _ask(job, network, sender, others, deadline_s)

    def prepare() -> bool:
        if job.limiting:
            _reload(job, network)
        return _nft("".join(f"flush chain {' '.join(chain)}\n" for chain in job.translating), network)

    # while the rules are there: their handles are only known to the kernel
    enter_network(network.node)
    _name_rules(sender.answers, sender.traces)
    _mark_doubtful(job, sender, is_whole=job.is_whole and not network.loss)
    result.answers = sender.answers
    if sender.lost_traces:
        result.loss.append("the kernel dropped messages of the trace: rules are missing in some paths")
    result.untranslated = list(ask_untranslated(job, sender, prepare, deadline_s))
    return result


def _load(job: Job, network: Network, result: Result) -> None:
    for program, text in job.restores:
        arguments = ("restore",) if program == "ipset" else ()
        try:
            run(program, *arguments, stdin=text, namespace=network.node)
        except ProgramFailed as error:
            result.loss.append(f"{program}: {error}")
            result.is_incomplete = True
    try:
        run("nft", "-f", "-", stdin=b"".join(job.tables), namespace=network.node)
    except ProgramFailed:
        # one that this nft cannot load does not take the others with it
        for position, table in enumerate(job.tables):
            try:
                run("nft", "-f", "-", stdin=table, namespace=network.node)
            except ProgramFailed as error:
                result.lost_tables.append(position)
                result.loss.append(f"{_head(table)}: {error}")


def _head(table: bytes) -> str:
    return table.partition(b"{")[0].decode(errors="replace").strip()[:128]


def _reload(job: Job, network: Network) -> None:
    """Load the rules again: their limits and counts start anew."""
    lost = Result()
    _nft("flush ruleset", network)
    _load(job, network, lost)
    _trace(job, network, lost)


def _trace(job: Job, network: Network, result: Result) -> None:
    """Mark every packet that comes in, before all rules."""
    devices = ", ".join(f'"{name}"' for name in network.ends)
    early = (
        f"table netdev {_TRACE_TABLE} {{ chain entry {{ type filter hook ingress devices = {{ {devices} }}"
        f" priority {_FIRST}; meta nftrace set 1; }}; }}"
    )
    late = (
        f"table inet {_TRACE_TABLE} {{ chain entry {{ type filter hook prerouting priority {_FIRST};"
        " meta nftrace set 1; }; }"
    )
    # where no rule looks at what is for the node, this chain does: its trace shows how the packet was translated
    arrival = f"table inet {_TRACE_TABLE} {{ chain arrival {{ type filter hook input priority {_FIRST}; }}; }}"
    if job.traced and (_nft(early, network) or _nft(late, network)):
        _nft(arrival, network)
    elif job.traced:
        result.loss.append("this kernel does not trace packets: the rules that decide are not known")


def _nft(text: str, network: Network) -> bool:
    try:
        run("nft", "-f", "-", stdin=text.encode(), namespace=network.node)
    except ProgramFailed:
        return False
    return True


def _ask(job: Job, network: Network, sender: Sender, numbers: Sequence[int], deadline_s: float) -> list[int]:
    """Ask until all is answered or nothing more can be; return the questions for which there was no time."""
    left = list(numbers)
    for attempt in range(_ATTEMPTS):
        sender.ask(left, attempt, deadline_s)
        left = sender.unanswered(left)
    if not job.limiting:
        return []
    limiting = set(job.limiting)
    left = [number for number in left if number >= job.traced or limiting & set(_chains(sender.traces[number]))]
    attempt = _ATTEMPTS
    until_s = min(deadline_s, time.monotonic() + _FRESH_S)
    while left and time.monotonic() < until_s and attempt < _MAX_ATTEMPT:
        _reload(job, network)
        sender.ask(left[:_FRESH_BATCH], attempt, deadline_s)
        left = left[_FRESH_BATCH:]
        attempt += 1
    return left


def _chains(steps: Iterable[Traced]) -> Iterator[tuple[str, str, str]]:
    """Yield the chains that a packet was in: those of its rules, and where they jumped to."""
    for step in steps:
        yield step.family, step.table, step.chain
        kind, _, target = step.verdict.partition(" ")
        if kind in ("jump", "goto"):
            yield step.family, step.table, target


def _name_rules(answers: Sequence[Answer], traces: Sequence[Sequence[Traced]]) -> None:
    """Turn handles of the copy into positions in the chain, and note translations that packets do not show."""
    positions: dict[tuple[str, str, str], dict[int, int]] = {}
    for answer, steps in zip(answers, traces, strict=True):
        targets = [step.target for step in steps if step.target is not None]
        if targets and targets[-1] != targets[0] and not answer.to_address:
            answer.to_address, answer.to_port = targets[-1]
        for step in steps:
            if step.table == _TRACE_TABLE:
                continue
            chain = step.family, step.table, step.chain
            if chain not in positions:
                positions[chain] = {handle: number for number, handle in enumerate(rule_handles(*chain))}
            position = -1 if step.handle == POLICY else positions[chain].get(step.handle, -2)
            answer.steps.append(
                TraceStep(
                    family=step.family, table=step.table, chain=step.chain, position=position, verdict=step.verdict
                )
            )


def _mark_doubtful(job: Job, sender: Sender, *, is_whole: bool) -> None:
    """Mark the answers that may only be missing because something is not in the copy."""
    for question, answer in zip(job.questions, sender.answers, strict=True):
        if answer.kind in ("answered", "arrived", "left") or (answer.steps and answer.steps[-1].verdict == "drop"):
            continue
        if any(_takes(one, question) for one in sender.unbound):
            answer.kind = "unbound"
        elif not is_whole and not answer.kind:
            answer.kind = "unsure"


def _takes(one: Socket, question: Question) -> bool:
    return (one.protocol, one.port) == (question.protocol, question.port) and (
        one.address in ("0.0.0.0", "::", question.address)  # noqa: S104 - compared
    )


if __name__ == "__main__":
    status = main()
    sys.stdout.buffer.flush()
    os._exit(status)
