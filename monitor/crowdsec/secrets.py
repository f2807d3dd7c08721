"""Keys and passwords in files, and the settings of TLS."""

import os
import ssl
import stat

from monitor.crowdsec.errors import Cause, LapiError
from monitor.model.errors import explain

_MAX_SECRET_BYTES = 4096
_MAX_CERTIFICATES_BYTES = 4 * 1024 * 1024


def read_secret(path: str) -> str:
    """Return the one line of a file; LapiError if it cannot be read, or is no key or password."""
    secret = _read(path, _MAX_SECRET_BYTES).strip("\r\n\t ")
    if not secret:
        raise LapiError(Cause.CREDENTIALS, f"{path} is empty")
    if not secret.isprintable() or not secret.isascii():
        raise LapiError(Cause.CREDENTIALS, f"{path} is no key or password of one line")
    return secret


def why_not_secret(path: str) -> str:
    """Return why a file does not keep its secret; empty if it does, or cannot be looked at."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a path of the configuration, as text
    except OSError:
        return ""
    return f"{path} can be read by all users: chmod o= {path}" if mode & stat.S_IROTH else ""


def make_context(ca_file: str) -> ssl.SSLContext:
    """Return the settings of TLS: certificate and name are checked. LapiError if `ca_file` cannot be used."""
    if not ca_file:
        return ssl.create_default_context()
    certificates = _read(ca_file, _MAX_CERTIFICATES_BYTES).strip()
    try:
        if certificates:
            return ssl.create_default_context(cadata=certificates)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        pass
    raise LapiError(Cause.CREDENTIALS, f"{ca_file} holds no certificates")


def _read(path: str, limit: int) -> str:
    """Return the text of a file; a FIFO does not block."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = os.read(descriptor, limit + 1)
        finally:
            os.close(descriptor)
        if len(content) > limit:
            raise LapiError(Cause.CREDENTIALS, f"{path} is larger than {limit} bytes")
        return content.decode()
    except OSError as error:
        raise LapiError(Cause.CREDENTIALS, f"{path} cannot be read: {explain(error)}") from error
    except UnicodeDecodeError:
        raise LapiError(Cause.CREDENTIALS, f"{path} is no text") from None
