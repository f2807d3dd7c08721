"""Rules are tested by promtool: without it these tests skip on a laptop and fail in CI."""

from tests.support.needs import needs


def pytest_runtest_setup() -> None:
    """Skip or fail where there is no promtool."""
    needs("promtool")
