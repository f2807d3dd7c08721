"""Asks again what left for a pod or container, with destination translation taken out of the copy.

A translated packet is forwarded, so the rules for the node itself never see it. What they say about its port is only
known when nothing translates it: then a firewall that looks closed, and is passed by, can be told from an open one.
"""

import time
from collections.abc import Callable, Iterator

from monitor.audit.kernel.job import Answer, Job, Question, Socket
from monitor.audit.kernel.sending import Sender

_ATTEMPTS = (61, 62)
"""Above those of other questions: an attempt has packets of its own."""
_FRESH_BATCH = 4
_BATCH = 4096


def ask_untranslated(
    job: Job, sender: Sender, prepare: Callable[[], bool], deadline_s: float
) -> Iterator[tuple[int, Answer]]:
    """Yield the questions from the world that left the node, each with its answer without translation.

    `prepare` takes the translation out of the copy, and returns whether it could; where rules limit rates, it is called
    for every few questions and starts their counts anew. What there is no time for is not yielded.
    """
    left = [number for number in job.from_world if sender.answers[number].kind == "left"]
    if not left:
        return
    sender.listen(dict.fromkeys(_socket(job.questions[number]) for number in left))
    size = _FRESH_BATCH if job.limiting else _BATCH
    for start in range(0, len(left), size):
        batch = left[start : start + size]
        if time.monotonic() > deadline_s or not prepare():
            return
        before = [(number, sender.answers[number], list(sender.traces[number])) for number in batch]
        for number in batch:
            sender.answers[number] = Answer()
        waiting = batch
        for attempt in _ATTEMPTS:
            sender.ask(waiting, attempt, deadline_s)
            waiting = sender.unanswered(waiting)
        found = [(number, sender.answers[number]) for number in batch]
        for number, answer, trace in before:
            sender.answers[number], sender.traces[number] = answer, trace
        yield from found


def _socket(question: Question) -> Socket:
    address = "::" if ":" in question.address else "0.0.0.0"  # noqa: S104 - in the copy
    return Socket(protocol=question.protocol, address=address, port=question.port, is_v6_only=True)
