"""What concerns nodewarden itself."""

from collections.abc import Iterator, Sequence

from monitor.audit.findings import Finding
from monitor.audit.suggest.suggestion import Form, Known, Suggest, Suggestion, subjects


def advice(text: str, form: Form = Form.ADVICE, *, target: str = "", warning: str = "") -> Suggest:
    """Suggest the same for every finding."""

    def suggest(findings: Sequence[Finding], _: Known) -> Iterator[Suggestion]:
        yield Suggestion(
            check=findings[0].check,
            subjects=subjects(findings),
            form=form,
            text=text,
            target=target,
            warning=warning,
        )

    return suggest


def name_destinations(findings: Sequence[Finding], known: Known) -> Iterator[Suggestion]:
    """Suggest `egress.approved` from what this node connected to."""
    if known.destinations:
        yield Suggestion(
            check=findings[0].check,
            subjects=subjects(findings),
            form=Form.SETTINGS,
            text=known.destinations,
            target="/etc/nodewarden/conf.d/60-egress.yaml",
            warning="destinations that were not used in that time are missing, such as those of a monthly backup, and "
            "those that an intruder used are in the list: read it. The detector observes until its mode is enforce",
        )
    else:
        yield Suggestion(
            check=findings[0].check,
            subjects=subjects(findings),
            form=Form.ADVICE,
            text="Name the destinations that this node and its pods need in egress.approved; the recorded history "
            f"proposes none: {known.destinations_lack or 'it has no connections out'}.",
        )
