"""What the checks of programs share: which programs they judge, and how settings are named in findings."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from monitor.audit.check import Check
from monitor.audit.facts import Facts
from monitor.audit.findings import Finding
from monitor.audit.host import Program, ProgramKind
from monitor.audit.hosting.kubelet import FIELDS

Judge = Callable[[Check, Facts], Iterator[Finding]]
JudgeOne = Callable[[Check, Program], Iterator[Finding]]
_LOOPBACK = ("localhost", "127.", "::1")
_ARGUMENTS = {
    ProgramKind.KUBELET: "kubelet-arg",
    ProgramKind.APISERVER: "kube-apiserver-arg",
    ProgramKind.ETCD: "etcd-arg",
}


def each(kind: ProgramKind, *names: str) -> Callable[[JudgeOne], Judge]:
    """Make a check of one program a check of all programs of a kind.

    It says so where there is none, and unknown where there may be one, or where a setting among `names` is not known.
    """

    def decorate(judge_one: JudgeOne) -> Judge:
        def judge(check: Check, facts: Facts) -> Iterator[Finding]:
            programs = facts.host.of(kind)
            if not programs:
                gap = facts.host.gap
                yield check.unknown("", gap) if gap else check.passed(f"no {kind} runs here")
            for program in programs:
                missing = [name for name in names if name not in program.settings]
                if program.gap and missing:
                    yield check.unknown(program.subject, f"{', '.join(missing)} not known: {program.gap}")
                else:
                    yield from judge_one(check, program)

        return judge

    return decorate


def stated(program: Program, name: str) -> str:
    """Return a setting as findings say it: `--anonymous-auth is true by default`."""
    setting = program.settings.get(name)
    if setting is None or not setting.value:
        return f"--{name} is not set"
    return f"--{name} is {setting.value[:256]}{' by default' if setting.is_default else ''}"


def remedy(program: Program, name: str, value: str) -> str:
    """Return how to set a setting of this program, with the file where that is to be done if it is known."""
    location = program.where(name)
    if "/rancher/" in location:
        return f"Add `{name}={value}` to {_ARGUMENTS[program.kind]} in {location}, and restart the service."
    where = f" in {location}" if location else ""
    if program.kind is ProgramKind.KUBELET:
        what = f"{FIELDS[name]}: {value}" if location else f"--{name}={value}"
        return f"Set `{what}`{where}, and restart the kubelet."
    return f"Set `--{name}={value}`{where}."


def urls(text: str) -> list[tuple[str, str]]:
    """Return scheme and host of the URLs in a comma-separated list; the host is empty if there is none."""
    found = []
    for part in text.split(","):
        try:
            split = urlsplit(part.strip())
            found.append((split.scheme, split.hostname or ""))
        except ValueError:
            found.append(("", ""))
    return [one for one in found if one != ("", "")]


def is_local(scheme: str, host: str) -> bool:
    """Whether only processes of the node can reach a URL."""
    return scheme in ("unix", "unixs") or host.startswith(_LOOPBACK)
