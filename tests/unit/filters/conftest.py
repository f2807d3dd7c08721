"""Has the native extension match all expressions from the first line on, so that the tests of filters test it."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def native_at_once() -> Iterator[None]:
    """Compile each expression when it is first needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.filters.forms._WORTH_LINES", 0)
        yield
