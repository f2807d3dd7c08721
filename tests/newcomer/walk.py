"""Follows the documents on one machine, from the installation to the purge, and records how every command ended."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.newcomer.documents import Kind, Step, steps
from tests.newcomer.site import CHECKOUT, INTERRUPTED, ROOT, Site, site

_README, _STARTED, _OPERATIONS = "README.md", "docs/getting-started.md", "docs/operations.md"
_INSTALL = "Install"
_BUILD = "make deb && "
_PURGE = "apt-get purge --yes nodewarden"
_LEFT = (
    "/etc/nodewarden",
    "/var/lib/nodewarden",
    "/var/cache/nodewarden",
    "/usr/lib/nodewarden",
    "/usr/share/nodewarden",
    "/usr/bin/nodewarden",
)


class Result(msgspec.Struct, frozen=True):
    """How a step ended."""

    step: Step
    fault: str = ""
    """What went wrong, with the output; empty for nothing."""


class Outcome(msgspec.Struct, frozen=True):
    """All steps of a walk."""

    results: list[Result]
    left_out: list[Step]
    left_behind: list[str]
    """What the purge did not remove."""

    @property
    def faults(self) -> list[Result]:
        """The steps that failed."""
        return [result for result in self.results if result.fault]

    @property
    def is_good(self) -> bool:
        """Whether all went well."""
        return not self.faults and not self.left_behind


def all_steps() -> list[Step]:
    """Return the steps of all documents, in the order in which a newcomer comes to them."""
    readme, started, operations = (
        list(steps(name, (ROOT / name).read_text())) for name in (_README, _STARTED, _OPERATIONS)
    )
    install = [step for step in readme if step.section == _INSTALL]
    return [*install, *started, *(step for step in readme if step.section != _INSTALL), *operations]


def walk(suite: str, report: Callable[[str], None], package: Path | None = None) -> Outcome:
    """Walk on a fresh machine of a release of Debian; `report` gets a line for each step.

    With a `package` that is built already, `make deb` in front of a command is left out.
    """
    chosen = all_steps()
    with site(suite) as place:
        if package is not None:
            place.machine.path(f"{CHECKOUT}/dist").mkdir()
            shutil.copy(package, place.machine.path(f"{CHECKOUT}/dist"))
            chosen = [msgspec.structs.replace(step, text=step.text.removeprefix(_BUILD)) for step in chosen]
        results = [*_follow(place, [step for step in chosen if not step.reason], report), _purge(place)]
        left = [path for path in _LEFT if place.machine.path(path).exists()]
        if "nodewarden" in place.machine.look("nft", "list", "tables"):
            left.append("the table inet nodewarden")
    return Outcome(results, [step for step in chosen if step.reason], left)


def _follow(place: Site, todo: list[Step], report: Callable[[str], None]) -> Iterator[Result]:
    section = ""
    for step in todo:
        if step.document + step.section != section:
            section, place.directory = step.document + step.section, CHECKOUT
        fault = _do(place, step)
        report(f"{'FAIL' if fault else 'ok  '} {step.place:<27} {step.text.partition(chr(10))[0][:80]}")
        yield Result(step, fault)


def _do(place: Site, step: Step) -> str:
    """Do a step; return what went wrong."""
    if step.kind is Kind.SCENE:
        place.play(step.text)
        return ""
    place.settle()
    done = (
        place.configure(step.text) if step.kind is Kind.SETTINGS else place.type(step.text, is_endless=step.is_endless)
    )
    output = done.stdout + done.stderr
    if done.returncode != (INTERRUPTED if step.is_endless else 0) or "Traceback" in output:
        return f"exit {done.returncode}\n{output[-3000:]}"
    return ""


def _purge(place: Site) -> Result:
    place.directory = "/"
    step = Step("the end", 0, "", Kind.COMMAND, _PURGE)
    done = place.type(step.text)
    return Result(step, f"exit {done.returncode}\n{done.stdout}{done.stderr}" if done.returncode else "")
