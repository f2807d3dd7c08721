"""The settings of reports to AbuseIPDB."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import Meta

from monitor.config.kinds import integer
from monitor.config.shapes import Conflict
from monitor.config.word_kinds import matching
from monitor.notify.registration import Registration
from monitor.notify.sections.base import SECRET
from monitor.notify.sections.web import SERVER_URL, TlsSettings

CATEGORIES = matching(
    "DETECTOR=CATEGORY,…",
    "[A-Za-z0-9_-]{1,32}=[0-9]{1,2}(,[0-9]{1,2}){0,5}",
    "a detector with categories of AbuseIPDB, such as sshd=18,22",
)


class AbuseipdbSettings(TlsSettings, frozen=True, kw_only=True):
    """Reports of banned addresses to AbuseIPDB: proven bans of detectors of this node only."""

    url: Annotated[str, SERVER_URL, Meta(description="Where reports are posted to.")] = (
        "https://api.abuseipdb.com/api/v2/report"
    )
    api_key_file: Annotated[str, SECRET, Meta(description="A file with the API key.")] = ""
    per_day: Annotated[
        int,
        integer(1, 100_000),
        Meta(description="At most this many reports within 24 h, counted across restarts. Free accounts have 1,000."),
    ] = 1000
    categories: Annotated[
        tuple[Annotated[str, CATEGORIES], ...],
        Meta(description="Categories of detectors, `DETECTOR=NUMBER,NUMBER`, in place of the usual ones."),
    ] = ()

    def conflicts(self) -> Iterable[Conflict]:
        """Refuse a place without the key."""
        yield from super().conflicts()
        if not self.api_key_file:
            yield Conflict(("api_key_file",), "reports need an API key")
        if self.url.startswith("http://") and not self.url.startswith(("http://127.0.0.1:", "http://[::1]:")):
            yield Conflict(("url",), "the key is sent along: https only")


CHANNEL = Registration(
    kind="abuseipdb",
    settings=AbuseipdbSettings,
    summary="Reports banned addresses to AbuseIPDB.",
    implementation="monitor.notify.channels.abuseipdb:AbuseipdbChannel",
    order=60,
    is_single=True,
)
