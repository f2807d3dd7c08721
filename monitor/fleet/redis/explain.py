"""What went wrong at the server, as one sentence that says what to do. Pure; no text holds a password.

What a server writes is hostile: it is shortened, and only printable characters are kept.
"""

import enum
import errno
import os
import ssl

from redis import exceptions as redis_errors

from monitor.fleet.redis.credentials import CredentialError
from monitor.fleet.redis.dial import DialError
from monitor.fleet.redis.resp import OversizeError

_LONGEST = 160

CERTIFICATE_EXPIRED, NOT_YET_VALID, HOSTNAME_MISMATCH, IP_MISMATCH = 10, 9, 62, 64
"""X509_V_ERR_… of OpenSSL (x509_vfy.h)."""


class Cause(enum.Enum):
    """What ended a connection, as far as it decides when to try again."""

    DOWN = enum.auto()
    """Nothing listens there, it is only starting, or it hangs."""
    UNREACHABLE = enum.auto()
    """Packets get no answer."""
    OVERSIZE = enum.auto()
    OTHER = enum.auto()


def cause_of(error: BaseException) -> Cause:
    """Return what ended a connection."""
    if isinstance(error, OversizeError):
        return Cause.OVERSIZE
    if isinstance(error, redis_errors.BusyLoadingError):
        return Cause.DOWN
    if isinstance(error, redis_errors.TimeoutError) and "connecting" in str(error):
        return Cause.UNREACHABLE
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        return Cause.DOWN
    within = error.__cause__ or error.__context__
    if isinstance(within, OSError) and within.errno in _DOWN:
        return Cause.DOWN
    return Cause.OTHER


_DOWN = (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.EHOSTUNREACH, errno.ENETUNREACH)


def explain(error: BaseException, where: str) -> str:
    """Return a sentence about what ended a connection; `where` is the server."""
    if isinstance(error, BaseExceptionGroup):
        return explain(error.exceptions[0], where)
    if isinstance(error, CredentialError | DialError):
        return str(error)
    if (tls := _find_tls(error)) is not None:
        return f"{where}: {_explain_tls(tls)}"
    if isinstance(error, redis_errors.ResponseError | redis_errors.ConnectionError) and (text := _known(error)):
        return f"{where}: {text}"
    if isinstance(error, redis_errors.TimeoutError | TimeoutError):
        return f"{where} does not answer: it hangs, packets are dropped on the way, or only one side uses TLS"
    if isinstance(error, OversizeError):
        return f"{where}: {_clean(error)}: somebody wrote into the fleet's keys what no node writes"
    if isinstance(error, redis_errors.InvalidResponse):
        return f"{where} is no Redis server: {_clean(error)}; does fleet.url need rediss:// or another port?"
    return _lost(error, where)


def _lost(error: BaseException, where: str) -> str:
    """Return a sentence about a connection that was not made, or ended."""
    if isinstance(error, redis_errors.ConnectionError):
        cause = error.__context__ or error.__cause__
        if isinstance(cause, OSError) and cause.errno not in (errno.ECONNRESET, errno.EPIPE):
            reason = os.strerror(cause.errno) if cause.errno else _clean(cause)
            return f"{where} cannot be reached: {reason}"
        return f"{where} closed the connection: {_CLOSES}"
    if isinstance(error, OSError):
        return _clean(error.strerror or error)
    return f"{where}: {_clean(error)}"


def explain_reply(error: BaseException, doing: str) -> str:
    """Return a sentence about a command that was refused; `doing` names keys and what was to be done with them."""
    return f"the server refuses {doing}: {_known(error) or _clean(error)}"


_REFUSES_LOGIN = "it refuses the user name or the password: compare them with the server's ACL file, and have it loaded"
_CLOSES = "it was stopped, expects TLS (rediss://) or a certificate (fleet.cert_file), or has too many clients"


def _known(error: BaseException) -> str:
    """Return what a server's error means; empty for those without a meaning of their own."""
    text = str(error)
    for kind, meaning in _MEANINGS:
        if isinstance(error, kind):
            return meaning
    if "protected mode" in text:
        return "it runs in protected mode and takes nobody from elsewhere: set a password or users, and `bind`"
    if "max number of clients" in text:
        return "it has as many clients as it may: raise maxclients"
    if "without any password configured" in text or "no password is set" in text:
        return "it has no password: remove fleet.password_file, or set one at the server"
    if isinstance(error, redis_errors.AuthenticationError):
        wants = "Authentication required" in text or text.startswith("NOAUTH")
        return "it wants a password: set fleet.password_file" if wants else _REFUSES_LOGIN
    if "unknown command" in text.lower() or "wrong number of arguments" in text or "syntax error" in text:
        return f"it does not know what we need, so it is older than Redis 7.0 or no Redis: {_clean(error)}"
    if text.startswith("WRONGTYPE"):
        return "the key is something else than it should be: delete it (DEL)"
    return ""


_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (redis_errors.NoPermissionError, "this user has no right to do so: load the users of `nodewarden fleet init`"),
    (redis_errors.ReadOnlyError, "it is a read-only replica: name the primary in fleet.url, or use redis+sentinel://"),
    (redis_errors.OutOfMemoryError, "its memory is full: raise maxmemory (maxmemory-policy noeviction)"),
    (redis_errors.BusyLoadingError, "it is still loading its data"),
    (redis_errors.MasterDownError, "it is a replica that has lost its primary"),
    (redis_errors.ClusterDownError, "the cluster is down: it lacks servers for some slots"),
    (redis_errors.TryAgainError, "the cluster is moving our keys"),
    (redis_errors.MovedError, "it is a part of a cluster: use redis+cluster:// in fleet.url"),
    (redis_errors.AskError, "the cluster is moving our keys"),
    (redis_errors.ClusterCrossSlotError, "it is a cluster that does not know hash tags"),
)


def _explain_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        match error.verify_code:
            case code if code == CERTIFICATE_EXPIRED:
                return "its certificate has expired"
            case code if code == NOT_YET_VALID:
                return "its certificate is not valid yet: is the clock of this machine right?"
            case code if code in (HOSTNAME_MISMATCH, IP_MISMATCH):
                return "its certificate is for another name than the one in fleet.url"
        return f"its certificate is not trusted ({_clean(error.verify_message)}): set fleet.ca_file"
    reason = (error.reason or "").upper()
    if "WRONG_VERSION_NUMBER" in reason or "RECORD_LAYER" in reason or "HTTP_REQUEST" in reason:
        return "it does not speak TLS on this port: use redis:// or the TLS port"
    if "CERTIFICATE_REQUIRED" in reason or "HANDSHAKE_FAILURE" in reason:
        return "it refuses us: it wants a certificate (fleet.cert_file, fleet.key_file)"
    if "UNKNOWN_CA" in reason or "ALERT_BAD_CERTIFICATE" in reason or "CERTIFICATE_EXPIRED" in reason:
        return "it does not accept our certificate (fleet.cert_file)"
    if "VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return "it knows only versions of TLS before 1.2"
    return f"TLS fails: {_clean(reason.replace('_', ' ').lower() or error)}"


def _find_tls(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error that redis-py wrapped."""
    seen = 0
    cause: BaseException | None = error
    while cause is not None and seen < 8:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause, seen = cause.__cause__ or cause.__context__, seen + 1
    return None


def _clean(error: object) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)[: 4 * _LONGEST]).split())
    return text[:_LONGEST]
