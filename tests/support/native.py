"""The native extension, for tests of it."""

from types import ModuleType

from monitor import native
from tests.support.needs import cannot_run


def extension() -> ModuleType:
    """Return the extension; without it, skip the test with the reason, or fail it in CI."""
    loaded = native.extension
    if loaded is None:
        cannot_run(f"the native extension: {native.why_not} (make native)")
    return loaded
