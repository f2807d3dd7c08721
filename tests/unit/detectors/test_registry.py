"""The registry: every detector of the package is found, described, proven by samples, and made anew when it must be."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor import detectors
from monitor.config.shapes import group_of
from monitor.detectors.detector import Detector
from monitor.detectors.registration import AnyRegistration, DetectorContext, NamedRegistration, Registration
from monitor.detectors.registry import ALL, NAMED, REGISTRATIONS, build, in_order, metrics
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import parse_network
from monitor.model.alerts import Alert, FloodAlert
from monitor.model.bans import NOT_DETECTORS, Mode
from monitor.model.events import Event
from tests.support.detectors import SURROUNDING, Samples

MODULES = [importlib.import_module(one.name) for one in pkgutil.iter_modules(detectors.__path__, "monitor.detectors.")]
CONTEXT = DetectorContext(xdp_interfaces=("eth0",))
OTHER_CONTEXTS = {"ipv6_prefix": 56, "ipv6_48": 0, "xdp_interfaces": ("eth1",)}
ANSWERS = ("mode", "bantime_s", "ban_ports", "allowlist", "networks", "shadow")
"""Settings of what follows an alert: the detector is the same whatever they are."""
OF_LOGS = ("enabled", "filter", "backend", "files", "pods", "silence_s", "journalmatch", "evidence", "timezone")
"""Settings of where failures are read: a detector is fed with what was found there."""

every = pytest.mark.parametrize("registration", ALL, ids=lambda one: str(one.name))


def samples_of(registration: AnyRegistration) -> Samples:
    """Return the samples that every detector's tests have."""
    module = importlib.import_module(f"tests.unit.detectors.test_{registration.name}")
    samples: Samples = module.SAMPLES
    return samples


def made(registration: AnyRegistration, section: DetectorSettings, context: DetectorContext = CONTEXT) -> Detector[Any]:
    """Make a detector as the daemon does; one that is configured by name is called sshd."""
    detector = build("sshd" if registration in NAMED else registration.name, section, context)
    detector.follow(SURROUNDING)
    return detector


def feed(detector: Detector[Any], events: Sequence[Event]) -> list[list[Alert | FloodAlert]]:
    """Feed one event at a time; return what each of them raised."""
    return [list(detector.feed([event])) for event in events]


def other(value: Any) -> Any:
    """Return another value of a setting's type."""
    if isinstance(value, tuple):
        return (*value, *(value[:1] or [parse_network("192.0.2.0/24")]))
    return {} if isinstance(value, dict) else value * 2


def test_every_detector_of_the_package_is_registered() -> None:
    """A class that could be made is what one registration makes, in a module of its own name."""
    found = {
        value
        for module in MODULES
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Detector) and not inspect.isabstract(value) and value.__module__ == module.__name__
    }
    assert found == {one.detector for one in ALL}
    assert {one.detector.__module__ for one in ALL} == {f"monitor.detectors.{one.name}" for one in ALL}


def test_names_are_unique_and_ordered() -> None:
    """No name is another detector's or stands for bans of another origin; the order does not depend on files' names."""
    names = [one.name for one in ALL]
    assert len({*names, *NOT_DETECTORS}) == len(names) + len(NOT_DETECTORS)
    assert names == [one.name for one in sorted(ALL, key=lambda one: (one.order, one.name))]
    assert names[:2] == ["port_scan", "host_sweep"]
    assert [one for one in ALL if one not in NAMED] == list(REGISTRATIONS)
    assert [one.name for one in NAMED] == ["failures"]


@pytest.mark.parametrize("shares", ["name", "settings"])
def test_what_two_detectors_share_is_refused(shares: str) -> None:
    """Two of one name would be mistaken for each other, two with one class of settings could not be told apart."""
    first = REGISTRATIONS[0]
    detector = type("OtherDetector", (first.detector,), {"name": first.name if shares == "name" else "other"})
    settings = first.settings if shares == "settings" else type("OtherSettings", (DetectorSettings,), {}, frozen=True)
    second = Registration(detector=detector, settings=settings, summary="Another.", make=first.make)
    with pytest.raises(ValueError, match="PortScanDetector and OtherDetector share a name or a settings class"):
        in_order([first, second])


@every
def test_it_is_described(registration: AnyRegistration) -> None:
    """Its section has a description for every key and, but for named ones, a default; classes say what they are."""
    assert registration.detector.__name__.endswith("Detector")
    assert registration.settings.__name__.endswith("Settings")
    assert registration.summary.endswith((".", "`."))
    assert re.fullmatch("[a-z][a-z0-9_]{1,31}", registration.name)
    settings: type[DetectorSettings] = registration.settings
    fields = group_of(settings).fields.values()
    assert all(len(field.description) > 10 for field in fields)
    if isinstance(registration, NamedRegistration):
        assert {field.key for field in fields if field.default is msgspec.NODEFAULT} == {"filter"}
    else:
        registration.settings()


@every
def test_its_samples_fire_with_the_last_event(registration: AnyRegistration) -> None:
    """One alert, in its name, about what it may be about, and as strong as it may be; who came close is known."""
    samples = samples_of(registration)
    detector = made(registration, samples.section)
    raised = feed(detector, samples.fires)
    assert [len(alerts) for alerts in raised] == [0] * (len(samples.fires) - 1) + [1]
    (alert,) = raised[-1]
    assert isinstance(alert, Alert)
    assert alert.detector == detector.name
    assert alert.strength in detector.strengths
    assert alert.network.contains(alert.source)
    assert alert.evidence.maxretry == detector.limits.maxretry <= alert.evidence.count
    assert detector.stats.busiest >= detector.limits.maxretry
    assert {type(event) for event in samples.fires} <= set(detector.takes)


@every
def test_its_counter_samples_raise_nothing(registration: AnyRegistration) -> None:
    """What looks alike and is no offence: at least two kinds of it."""
    samples = samples_of(registration)
    assert len(samples.quiet) >= 2
    for why, events in samples.quiet.items():
        assert len(events) > 0
        assert feed(made(registration, samples.section), events) == [[]] * len(events), why


@every
def test_its_metrics_are_those_it_declares(registration: AnyRegistration) -> None:
    """It yields a sample of each from the start, with the labels that it declares, and no others."""
    samples = samples_of(registration)
    detector = made(registration, samples.section)
    declared = {metric.name: metric for metric in detector.metrics}
    for _ in range(2):
        found = list(detector.samples())
        assert {name for name, _, _ in found} == set(declared)
        assert all(len(labels) == len(declared[name].labels) for name, labels, _ in found)
        feed(detector, samples.fires)
    assert set(detector.metrics) <= set(metrics())


def _changed(registration: AnyRegistration, section: DetectorSettings) -> Iterator[tuple[str, DetectorSettings]]:
    ignored = {*ANSWERS, *(OF_LOGS if registration in NAMED else ())}
    for name in section.__struct_fields__:
        if name not in ignored:
            yield name, msgspec.structs.replace(section, **{name: other(getattr(section, name))})


@every
def test_a_changed_setting_makes_a_new_detector(registration: AnyRegistration) -> None:
    """Each setting counts but those of what follows an alert: a reload keeps a detector that would be made the same."""
    section = samples_of(registration).section
    recipe = made(registration, section).recipe
    assert made(registration, section).recipe == recipe
    answered = msgspec.structs.replace(section, mode=Mode.OBSERVE, bantime_s=1.0)
    assert made(registration, answered).recipe == recipe
    for name, changed in _changed(registration, section):
        assert made(registration, changed).recipe != recipe, name


@every
def test_the_context_makes_a_new_detector_where_it_is_used(registration: AnyRegistration) -> None:
    """The length of IPv6 prefixes concerns all, bans of a /48 those that count them, interfaces none."""
    section = samples_of(registration).section
    recipe = made(registration, section).recipe
    used = {
        name
        for name, value in OTHER_CONTEXTS.items()
        if made(registration, section, msgspec.structs.replace(CONTEXT, **{name: value})).recipe != recipe
    }
    assert used == ({"ipv6_prefix", "ipv6_48"} if registration in NAMED else {"ipv6_prefix"})


@pytest.mark.parametrize(
    ("name", "context", "changes", "is_wanted"),
    [
        ("port_scan", DetectorContext(), {}, True),
        ("egress", DetectorContext(), {}, False),
        ("egress", DetectorContext(), {"approved": (parse_network("192.0.2.0/24"),)}, True),
        ("syn_rate", DetectorContext(), {}, False),
        ("syn_rate", CONTEXT, {}, True),
        ("udp_rate", DetectorContext(), {}, False),
        ("udp_rate", CONTEXT, {}, True),
    ],
)
def test_what_has_nothing_to_detect_is_not_wanted(
    name: str, context: DetectorContext, changes: dict[str, Any], is_wanted: bool
) -> None:
    """Where nothing is approved everything is; only XDP counts senders."""
    (registration,) = (one for one in REGISTRATIONS if one.name == name)
    section = msgspec.structs.replace(registration.settings(), **changes)
    assert registration.is_wanted(section, context) is is_wanted


def _names(texts: Iterable[Path]) -> set[str]:
    return {path.stem.removeprefix("test_") for path in texts}


def test_each_has_a_module_and_tests_and_no_further_file() -> None:
    """What the guide promises: a detector is one module and one file of tests."""
    here = Path(__file__).parent
    assert {one.name for one in ALL} <= _names(here.glob("test_*.py"))
    named = {one.name for one in ALL}
    root = Path(detectors.__path__[0]).parent
    others = {path for path in root.rglob("*.py") if path.stem in named and path.parent.name != "detectors"}
    assert others == set()
