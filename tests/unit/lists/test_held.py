"""What the daemon says of a list: anything that keeps it from being renewed or in force is a problem."""

import pytest
from msgspec.structs import replace

from monitor.daemon.lists.held import HeldList
from monitor.lists.settings import ListSettings
from tests.unit.lists.test_file import copy_of, packed

_HOUR, _DAY = 3600.0, 86400.0


def held(age_s: float | None, fault: str = "", every_s: float = _DAY) -> HeldList:
    """Return a list whose copy was renewed that long before the tenth day; None: there is no copy."""
    one = HeldList("drop", ListSettings(url="https://lists.example.org/", every_s=every_s))
    if age_s is not None:
        renewed_s = 10 * _DAY - age_s
        header = copy_of(packed("192.0.2.1")).header
        one.header = replace(header, fetched_s=renewed_s, expires_s=renewed_s + one.settings.lifetime_s)
    one.renewal_fault = fault
    return one


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (held(_HOUR), ""),
        (held(2 * _DAY + 2 * _HOUR), ""),
        (held(2 * _DAY + 2 * _HOUR + 1), "is nodewarden-lists.timer active?"),
        (held(4 * _HOUR, every_s=_HOUR), ""),
        (held(4 * _HOUR + 1, every_s=_HOUR), "is nodewarden-lists.timer active?"),
        (held(_HOUR, "the server answered 404"), "until its copy expires: the server answered 404"),
        (held(6 * _DAY, "the server answered 404"), "until its copy expires: the server answered 404"),
        (held(7 * _DAY), "has expired, nothing of it is in force"),
        (held(None), "has no copy yet, nothing of it is in force"),
        (held(None, "its gzip is damaged"), "nothing of it is in force: its gzip is damaged"),
    ],
)
def test_whatever_keeps_a_list_from_being_renewed_is_a_problem(one: HeldList, problem: str) -> None:
    """A fault that the child names, a child that never runs, a copy that is missing or has expired."""
    said = one.problem(10 * _DAY)
    assert problem in said
    assert bool(problem) == bool(said)
