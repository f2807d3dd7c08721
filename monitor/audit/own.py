"""What of nodewarden itself is audited."""

import msgspec


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """From its configuration, and from its daemon if that runs."""

    egress_approved: int | None = None
    """Networks in `egress.approved`; None: there are none, and that detector is off."""
    fleet_url: str = ""
    fleet_user: str = ""
    is_running: bool = False
    """Whether the daemon answered."""
    problems: tuple[str, ...] = ()
    """Kinds of problems that the daemon reports (`ProblemKind`)."""
