"""Reads secrets from the files that the configuration names. No error and no log line contains what is in them."""

import os
from pathlib import Path

from monitor.files.regular import read_regular
from monitor.model.errors import explain
from monitor.notify.channel import Again

_MAX_BYTES = 8192
_DIRECTORY = "CREDENTIALS_DIRECTORY"


def secret_path(place: str) -> Path:
    """Return the file of a path, or of the name of a credential; Again if the unit has no credentials."""
    if place.startswith("/"):
        return Path(place)
    directory = os.environ.get(_DIRECTORY, "")
    if not directory:
        raise Again(f"there is no credential {place}: LoadCredential= of the unit has to name it")
    return Path(directory) / place


def read_secret(place: str) -> str:
    """Return a secret without the end of its line; Again if it cannot be read now. Read it each time: it may rotate."""
    path = secret_path(place)
    try:
        content = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise Again(f"{path} cannot be read: {explain(error)}") from None
    if len(content) > _MAX_BYTES:
        raise Again(f"{path} is larger than {_MAX_BYTES} bytes")
    try:
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Again(f"{path} is not UTF-8") from None
    if not secret:
        raise Again(f"{path} is empty")
    return secret
