"""The settings of section `detectors`: a section for each registered detector, and what they share."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from monitor.config.kinds import AUTO_PORT_RANGE, DETECTOR_NAME, OPTIONAL_PATH, Names, duration
from monitor.config.shapes import MERGED, Section
from monitor.config.types import Automatic, PortRange
from monitor.detectors.failures import DEFAULT_FAILURES, DETECTOR, FailuresSettings
from monitor.detectors.registry import REGISTRATIONS
from monitor.detectors.settings import DetectorSettings
from monitor.model.bans import NOT_DETECTORS

DETECTOR_NAMES = Names(
    "[A-Za-z0-9_-]{1,32}",
    "a name of 1 to 32 letters, digits, _ and -",
    reserved=(*(one.name for one in REGISTRATIONS), *NOT_DETECTORS),
)
"""Names of failures detectors; the reserved ones have another meaning in bans, metrics and history."""


class _Common(Section, frozen=True, kw_only=True):
    """What detectors of several kinds share."""

    ephemeral_ports: Annotated[
        PortRange | Automatic,
        AUTO_PORT_RANGE,
        Meta(
            description="The ports that the node's own clients use: UDP packets to these are taken for late replies "
            "and never counted. `auto`: those of the sysctl `net.ipv4.ip_local_port_range`, whose changes are "
            "followed. A range counts in addition, for programs that choose their ports themselves, such as resolvers."
        ),
    ] = Automatic.AUTO


_Registered: Any = msgspec.defstruct(
    "_Registered",
    [(one.name, Annotated[one.settings, Meta(description=one.summary)], one.settings()) for one in REGISTRATIONS],
    bases=(_Common,),
    module=__name__,
    frozen=True,
    kw_only=True,
)


class Detectors(_Registered, frozen=True, kw_only=True):  # type: ignore[misc,call-arg]  # registered sections
    """Rules over events."""

    failures: Annotated[dict[str, FailuresSettings], DETECTOR_NAMES, Meta(description=DETECTOR.summary)] = field(
        default_factory=DEFAULT_FAILURES.copy
    )
    from_fail2ban: Annotated[
        str,
        OPTIONAL_PATH,
        Meta(
            description="A directory such as `/etc/fail2ban`: every jail that is enabled there runs as a failures "
            "detector of the jail's name, and what jails ignore is never banned. A section of `failures` takes "
            "precedence over a jail of the same name, except for the default one; its `mode` then holds for the jail. "
            "Empty: none."
        ),
    ] = ""
    from_fail2ban_proven: Annotated[
        tuple[Annotated[str, DETECTOR_NAME], ...],
        MERGED,
        Meta(
            description="The jails of `from_fail2ban` whose lines prove who failed, so that they ban and do not only "
            "shun. fail2ban's filters are not vetted: you vouch for their format and their logs, as with "
            "`evidence: proven` in a section of `failures`."
        ),
    ] = ()
    confirm_timeout_s: Annotated[
        float,
        duration("10ms", "10s"),
        Meta(
            description="Time limit for one filter on one line, as CPU time; the line is skipped then. A filter that "
            "takes long more often skips long lines for a while."
        ),
    ] = field(default=0.05, name="confirm_timeout")

    def section(self, name: str) -> DetectorSettings:
        """Return the section of a registered detector."""
        section: DetectorSettings = getattr(self, name)
        return section
