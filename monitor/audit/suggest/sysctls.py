"""Lines for /etc/sysctl.d."""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from monitor.audit.findings import Finding
from monitor.audit.suggest.suggestion import Form, Known, Suggest, Suggestion, is_word, subjects

TARGET = "/etc/sysctl.d/90-audit.conf"
_MOST = 128


def set_to(value: str, warning: str) -> Suggest:
    """Suggest this value for the sysctls that findings are about; `*` in a subject stands for every interface."""

    def suggest(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
        changes = {
            name: value
            for pattern in subjects(findings)
            for name in _names(pattern, known)
            if known.facts.host.sysctls.get(name, "") != value and is_word(name)
        }
        if changes:
            yield _suggestion(findings, dict(list(changes.items())[:_MOST]), warning)

    return suggest


def loose_filter(findings: Sequence[Finding], _: Known) -> Iterator[Suggestion]:
    """Suggest loose reverse path filtering for all interfaces: the larger of two values is in force."""
    changes = {"net.ipv4.conf.all.rp_filter": "2", "net.ipv4.conf.default.rp_filter": "2"}
    yield _suggestion(
        findings, changes, "packets of sources to which the node has no route are dropped; 1 is stricter where routes "
        "are symmetric, and breaks asymmetric routes and some CNIs"
    )  # fmt: skip


def larger_table(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest twice as many tracked connections."""
    name = "net.netfilter.nf_conntrack_max"
    now = known.facts.host.sysctls.get(name, "")
    if now.isascii() and now.isdigit() and 0 < int(now[:10]) < 1 << 30:
        changes = {name: str(2 * int(now[:10]))}
        yield _suggestion(
            findings, changes, "each connection takes about 320 bytes; find out first what fills the table"
        )


def _names(pattern: str, known: Known) -> list[str]:
    if "*" not in pattern:
        return [pattern] if pattern in known.facts.host.sysctls else []
    dots = pattern.count(".")
    return sorted(name for name in known.facts.host.sysctls if name.count(".") == dots and fnmatchcase(name, pattern))


def _suggestion(findings: Sequence[Finding], changes: dict[str, str], warning: str) -> Suggestion:
    return Suggestion(
        check=findings[0].check,
        subjects=subjects(findings),
        form=Form.SYSCTL,
        text="\n".join(f"{name} = {value}" for name, value in changes.items()),
        target=TARGET,
        warning=warning,
        changes=changes,
    )
