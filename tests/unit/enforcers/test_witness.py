"""The witness of a start: what may have been others' transactions counts as such."""

import pytest

from monitor.enforcers.netlink_socket import NetlinkSocket
from monitor.enforcers.nftables import witness
from monitor.enforcers.nftables.witness import Witness, WitnessedSocket


class Kernel:
    """Its number of transactions, and what comes of the next one of ours."""

    def __init__(self) -> None:
        self.number: int | None = 7
        self.outcomes: list[tuple[int, dict[int, int] | Exception]] = []
        """By how much the number grows meanwhile, and what is answered."""

    def transaction(self) -> dict[int, int]:
        """Execute one, or raise."""
        grows, answer = self.outcomes.pop(0)
        assert self.number is not None
        self.number = (self.number + grows) % (1 << 32)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(NetlinkSocket, "__init__", lambda _self: None)
    monkeypatch.setattr(NetlinkSocket, "transact", lambda _link, _requests: found.transaction())
    monkeypatch.setattr(witness, "read_generation", lambda _link: found.number)
    return found


@pytest.mark.parametrize(
    ("outcomes", "has_others"),
    [
        ([], False),
        ([(1, {}), (1, {})], False),
        ([(0, {})], False),  # it changed nothing
        ([(0, {0: 17})], False),
        ([(2, {})], True),
        ([(1, {0: 17})], True),
        ([(0, TimeoutError())], False),
        ([(1, TimeoutError())], True),  # ours, or that of somebody else while ours was lost
    ],
)
def test_others_are_noticed(
    kernel: Kernel, outcomes: list[tuple[int, dict[int, int] | Exception]], *, has_others: bool
) -> None:
    kernel.outcomes = outcomes
    one = Witness()
    link = WitnessedSocket(one)
    for _, answer in tuple(outcomes):
        if isinstance(answer, Exception):
            with pytest.raises(type(answer)):
                link.transact([])
        else:
            assert link.transact([]) == answer
    assert one.end(link) is has_others


def test_a_kernel_that_does_not_say_is_one_with_others(kernel: Kernel) -> None:
    one = Witness()
    link = WitnessedSocket(one)
    kernel.number = None
    assert one.end(link)
    assert not one.end(link)
