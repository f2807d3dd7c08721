"""Who wrote the lines of a log, as its source reports it: facts, not what the lines prove."""

import enum
import re

import msgspec

FIRST_USER_ID = 1000
"""login.defs(5): UID_MIN and GID_MIN. Lower numbers are system accounts and their groups."""
_ORDINARY_GROUPS = frozenset((100,))  # `users`: distributions put people there

# Services that run programs of people who logged in, have a crontab, a mailbox or a web space, as those people and,
# where PAM opens no session, in the service's own control group.
_RUNS_OTHERS = re.compile(
    r"anacron|at|atd|cron|crond|cronie|dcron|fcron"
    r"|autovt|getty|console-getty|container-getty|serial-getty|ssh|sshd|display-manager|gdm3?|lightdm|sddm|user"
    r"|inetd|inetutils-inetd|openbsd-inetd|xinetd|vsftpd"
    r"|courier|dovecot|exim|exim4|postfix|sendmail"
    r"|apache2|httpd|php.*|uwsgi"
    r"|containerd|docker|podman"
)


class JournalWriter(msgspec.Struct, frozen=True, gc=False):
    """The process that wrote journal entries, as journald itself reports it; an unknown fact is empty or None."""

    transport: str = ""
    """`syslog`, `journal`, `stdout`, `kernel`, ... (`_TRANSPORT`)."""
    unit: str = ""
    """The system unit whose control group it was in; of an instance the template: `ssh@.service`."""
    executable: str = ""
    uid: int | None = None
    is_contained: bool = False
    """Whether it ran in a container, or the engine of one handed on what it printed."""
    has_login: bool = False
    """Whether it belongs to a login, which PAM records and a process cannot take back."""
    is_local: bool = False
    """Whether the entry is from this machine."""


class Holder(enum.StrEnum):
    """Kinds of accounts that permissions name."""

    ACCOUNT = "account"
    GROUP = "group"
    EVERYBODY = "everybody"


class Grant(msgspec.Struct, frozen=True, gc=False):
    """Permission to change what a log file says."""

    holder: Holder
    number: int
    """The id of the account or group; 0 for everybody."""
    effect: str = "may write it"
    is_direct: bool = True
    """Whether it is for the file itself; otherwise the file can be replaced by another."""

    def __str__(self) -> str:
        """Return the permission in words."""
        return f"{self.who} {self.effect}"

    @property
    def who(self) -> str:
        """Return who has it, in words."""
        return str(self.holder) if self.holder is Holder.EVERYBODY else f"{self.holder} {self.number}"


class FileWriter(msgspec.Struct, frozen=True, gc=False):
    """Who may write a log file or replace it, apart from root and the account of the daemon."""

    path: str
    """As it is followed."""
    real_path: str = ""
    """Where symbolic links lead."""
    grants: tuple[Grant, ...] = ()
    fault: str = ""
    """Why this is not known."""


Writer = JournalWriter | FileWriter


def ordinary_reason(writer: Writer | None) -> str:
    """Return why others than root and system accounts can have written this; empty: nobody else can.

    This does not say that the lines prove anything: a system account runs the programs of others, and a file that only
    a system account writes may hold what that account was sent.
    """
    if writer is None:
        return "who wrote it is not known"
    if isinstance(writer, FileWriter):
        return writer.fault or next((str(grant) for grant in writer.grants if not _is_system(grant)), "")
    return _ordinary_entry(writer)


def _is_system(grant: Grant) -> bool:
    if grant.holder is Holder.ACCOUNT:
        return grant.number < FIRST_USER_ID
    return grant.holder is Holder.GROUP and grant.number < FIRST_USER_ID and grant.number not in _ORDINARY_GROUPS


def _ordinary_entry(writer: JournalWriter) -> str:
    """Return why others can have written an entry.

    The kernel and system accounts are believed, and system services under any account: services may run under dynamic
    and ordinary ones. Not believed are containers and, under an ordinary id, services that run the programs of users
    and what belongs to a login. `user@UID.service` is no system service: it holds all that a user runs.
    """
    if not writer.is_local:
        return "it is from another machine"
    if writer.transport == "kernel":
        return ""
    if writer.is_contained:
        return "a container wrote it"
    if writer.uid is not None and writer.uid < FIRST_USER_ID:
        return ""
    name, dot, kind = writer.unit.rpartition(".")
    is_service = bool(dot) and kind == "service" and not _RUNS_OTHERS.fullmatch(name.partition("@")[0])
    if is_service and not writer.has_login:
        return ""
    return "its account is not known" if writer.uid is None else f"account {writer.uid} wrote it"
