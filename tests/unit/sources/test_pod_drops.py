"""Drops by pod: as many series as are allowed, of the pods with most drops, and counters that never fall."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.ebpf.reasons import ReasonClass
from monitor.model.pods import Pod, Pods, PodTable
from monitor.sources.drops.pod_drops import OTHER, PodDrops
from monitor.sources.drops.runner import DropsRunner
from monitor.sources.drops.settings import DropCounting, DropsSettings

FIREWALL = "firewall"


def totals(firewall: int, closed_port: int = 0) -> tuple[int, ...]:
    """Return what a namespace dropped."""
    return (firewall, closed_port, *(0,) * (len(ReasonClass) - 2))


def pod(number: int) -> Pod:
    """Return the pod whose namespace has this inode number."""
    return Pod("shop", f"web-{number}")


def series(drops: PodDrops) -> dict[str, float]:
    """Return the packets that the firewall class has, by pod."""
    return {labels[1]: value for _, labels, value in drops.samples() if labels[2] == FIREWALL}


def test_drops_count_for_the_pod_and_the_class() -> None:
    """The increase since the last poll; a namespace that is no pod's is `other`."""
    drops = PodDrops({1: pod(1), 2: pod(2)}.get)
    drops.count({1: totals(5, 2), 3: totals(7)}, 10, 0.0)
    drops.count({1: totals(8, 2), 2: totals(1), 3: totals(7)}, 10, 1.0)
    assert series(drops) == {"web-1": 8, "web-2": 1, "other": 7}
    found = {labels: value for _, labels, value in drops.samples()}
    assert found["shop", "web-1", "closed_port"] == 2


def test_a_namespace_that_was_forgotten_starts_again() -> None:
    """The kernel's map drops the idlest, and a new program starts with none: nothing is subtracted."""
    drops = PodDrops({1: pod(1)}.get)
    drops.count({1: totals(100)}, 10, 0.0)
    drops.count({}, 10, 1.0)
    drops.count({1: totals(3)}, 10, 2.0)
    drops.count({1: totals(2)}, 10, 3.0)
    assert series(drops)["web-1"] == 105


def test_a_pod_with_far_more_drops_gets_the_series_of_another() -> None:
    """Once a minute; what it lost before stays in `other`."""
    drops = PodDrops(pod)
    drops.count({1: totals(10), 2: totals(10)}, 1, 0.0)
    assert series(drops) == {"web-1": 10, "other": 10}
    drops.count({1: totals(20), 2: totals(25)}, 1, 70.0)  # not twice as many
    assert set(series(drops)) == {"web-1", "other"}
    drops.count({1: totals(21), 2: totals(99)}, 1, 140.0)
    drops.count({1: totals(31), 2: totals(100)}, 1, 150.0)
    assert series(drops) == {"web-2": 1, "other": 10 + 15 + 74 + 10}


def test_a_lower_limit_takes_series_away() -> None:
    """At the next turn, those with fewest drops."""
    drops = PodDrops(pod)
    drops.count({number: totals(10 * number) for number in range(1, 6)}, 5, 0.0)
    drops.count({number: totals(20 * number) for number in range(1, 6)}, 2, 70.0)
    assert set(series(drops)) == {"web-4", "web-5", "other"}


@given(st.lists(st.lists(st.integers(0, 50), min_size=6, max_size=6), max_size=12), st.integers(1, 4))
def test_nothing_is_lost_and_no_counter_falls(rounds: list[list[int]], most: int) -> None:
    """Whatever comes: at most so many series, each only rises, and `other` too."""
    drops = PodDrops(pod)
    sums, before = [0] * 6, dict[str, float]()
    for number, more in enumerate(rounds):
        sums = [total + new for total, new in zip(sums, more, strict=True)]
        drops.count({inode: totals(total) for inode, total in enumerate(sums)}, most, 40.0 * number)
        now = series(drops)
        assert len(now) <= most + 1
        assert now[OTHER.name] >= before.get(OTHER.name, 0)
        assert all(
            value >= before[name] or value <= more[int(name[4:])]
            for name, value in now.items()
            if name in before and name != OTHER.name
        )
        before = now


class Attached:
    """Stands for a program that counts."""

    fallback_reason = ""


def test_series_without_any_pod_are_reported() -> None:
    """Asked for series by pod on a node where no pod is known, status says why all is `other`."""
    pods = Pods()
    runner = DropsRunner(DropCounting(DropsSettings(pods=5)), lambda _: None, pods)
    assert list(runner.notices) == []
    runner.program = Attached()  # type: ignore[assignment]
    (notice,) = runner.notices
    assert "no pod is known" in notice
    pods.take(PodTable(by_netns={1: pod(1)}), 0.0)
    assert list(runner.notices) == []


def test_a_pod_that_is_named_other_has_no_series_twice() -> None:
    """Prometheus refuses samples of one series that contradict each other."""
    drops = PodDrops({1: Pod(*OTHER), 2: pod(2)}.get)
    drops.count({1: totals(5), 2: totals(1), 3: totals(7)}, 10, 0.0)
    labels = [labels for _, labels, _ in drops.samples()]
    assert len(labels) == len(set(labels))
    assert series(drops) == {"web-2": 1, "other": 12}
