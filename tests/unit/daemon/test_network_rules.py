"""Rules for single networks: another threshold, mode or ban time for their sources, or nothing counts at all."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.bans.decision import Decision, Verdict
from monitor.bans.guard import Guard
from monitor.bans.ledger import Ledger
from monitor.bans.policy import Policy
from monitor.bans.rules import Rules
from monitor.control.protocol import Status, Why
from monitor.daemon.pipeline.network_rules import policy
from monitor.daemon.pipeline.pipeline import Pipeline
from monitor.detectors.failures import FailuresSettings
from monitor.detectors.half_open import HalfOpenSettings
from monitor.detectors.network_rules import NetworkRuleSettings
from monitor.detectors.settings import DetectorSettings
from monitor.model.addresses import host, network_of, parse_address, parse_network
from monitor.model.alerts import Alert, Evidence, Strength
from monitor.model.bans import Mode
from monitor.model.flows import FlowBatch
from monitor.settings.detectors import Detectors
from monitor.settings.load import load
from monitor.settings.schema import Settings
from tests.support.answers import answers_of
from tests.support.events import failure
from tests.support.flows import incomplete
from tests.support.policy import small_table, willing_table
from tests.unit.config.support import faults_of, write

NOW_S = 1010.0
RULES = {
    "10.0.0.0/8": NetworkRuleSettings(mode=Mode.OBSERVE, maxretry=4),
    "10.3.0.0/16": NetworkRuleSettings(bantime_s=7200.0),
    "10.3.3.0/24": NetworkRuleSettings(mode=Mode.OBSERVE),
    "2001:db8:5::/48": NetworkRuleSettings(maxretry=3, findtime_s=60.0),
}
ALLOWED = tuple(map(parse_network, ("10.3.9.0/24", "198.51.100.9", "2001:db8:7:1::5")))


def stages_of(**changes: object) -> Pipeline:
    """Return a pipeline whose only failures detector is sshd; nothing reaches a kernel."""
    sshd = FailuresSettings(filter="sshd", mode=Mode.OBSERVE, maxretry=2, **changes)  # type: ignore[arg-type]
    return Pipeline(Settings(detectors=Detectors(failures={"sshd": sshd})), (), small_table)


def fail(stages: Pipeline, source: str, times: int) -> list[Decision]:
    """Have a source fail so often."""
    return stages.process([failure(source)] * times, NOW_S)


def test_without_rules_nothing_stands_between() -> None:
    """The detector itself is fed: rules that nobody has cost nothing."""
    stages = stages_of()
    assert stages.routes == {}
    assert stages.counting == stages.detectors
    assert stages._dispatch._by_name.popitem()[1] == {"sshd": stages.detectors[-1]}


@pytest.mark.parametrize(
    ("source", "needed", "mode", "bantime_s"),
    [
        ("192.0.2.7", 2, Mode.ENFORCE, 600.0),
        ("10.1.1.1", 4, Mode.OBSERVE, 600.0),
        ("10.3.1.1", 2, Mode.ENFORCE, 7200.0),
        ("10.3.3.1", 2, Mode.OBSERVE, 600.0),
        ("2001:db8:5::1", 3, Mode.ENFORCE, 600.0),
    ],
)
def test_the_most_specific_network_decides(source: str, needed: int, mode: Mode, bantime_s: float) -> None:
    """What its rules leave open is that of the detector, not of a network around it."""
    enforcing = policy("sshd", FailuresSettings(filter="sshd", networks=RULES))
    assert enforcing.at(parse_address(source)) == (mode, bantime_s)
    stages = stages_of(networks=RULES)
    assert fail(stages, source, needed - 1) == []
    (decision,) = fail(stages, source, 1)
    assert decision.verdict is Verdict.OBSERVE
    assert decision.ban is not None
    assert decision.ban.until_s - decision.ban.since_s == bantime_s


def test_a_prefix_with_an_observed_part_is_not_banned() -> None:
    """Of a single offender in it only the address is; where the whole prefix offends, that is only observed."""
    rules = {"2001:db8:0:1::5": NetworkRuleSettings(mode=Mode.OBSERVE)}
    enforcing = policy("sshd", FailuresSettings(filter="sshd", networks=rules))
    some = Policy(Guard([]), Ledger(max_bans=10), Rules({"sshd": enforcing}))
    source = parse_address("2001:db8:0:1::6")
    for is_alone, mode, target in ((True, Mode.ENFORCE, host(source)), (False, Mode.OBSERVE, network_of(source, 64))):
        evidence = Evidence(5, 5, 600.0, 990.0, 1000.0, "failures")
        alert = Alert("sshd", NOW_S, source, network_of(source, 64), is_alone, Strength.PROVEN, evidence)
        decision = some.propose(some.draft(NOW_S), alert)
        assert (decision.network, decision.claim and decision.claim.mode) == (target, mode)
    assert not policy("sshd", FailuresSettings(filter="sshd", mode=Mode.OBSERVE, networks=rules)).enforces
    enforced = {"192.0.2.7": NetworkRuleSettings(mode=Mode.ENFORCE)}
    assert policy("sshd", FailuresSettings(filter="sshd", mode=Mode.OBSERVE, networks=enforced)).enforces


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=60))
@settings(max_examples=40, deadline=None)
def test_counts_are_those_of_a_naive_reference(attempts: list[tuple[int, int, int]]) -> None:
    """Whatever fails in which order: each source is counted against the threshold of its own network."""
    networks = {"10.0.0.0/8": (4, True), "10.3.0.0/16": (2, True), "10.3.3.0/24": (3, True), "10.2.0.0/15": (9, False)}
    rules = {name: NetworkRuleSettings(maxretry=count) for name, (count, counts) in networks.items() if counts}
    stages = stages_of(networks=rules, allowlist=(parse_network("10.2.0.0/15"),))
    known = {parse_network(name): what for name, what in networks.items()}
    naive: Counter[str] = Counter()
    for numbers in attempts:
        source = "10." + ".".join(map(str, numbers))
        address = parse_address(source)
        around = max((one for one in known if one.contains(address)), key=lambda one: one.prefix_length)
        needed, counts = known[around]
        naive[source] += counts
        fires = naive[source] == needed and counts
        naive[source] -= needed if fires else 0
        assert any(one.alert for one in fail(stages, source, 1)) is fires


def test_what_is_allowed_does_not_count_and_is_not_banned() -> None:
    """Other detectors may still ban it; a neighbour's ban of the IPv6 prefix around it shrinks to the neighbour."""
    stages = stages_of(networks=RULES, allowlist=ALLOWED)
    assert fail(stages, "198.51.100.9", 50) == fail(stages, "10.3.9.1", 50) == fail(stages, "2001:db8:7:1::5", 50) == []
    assert stages.guard.protects(ALLOWED[1]) is None
    (decision,) = fail(stages, "2001:db8:7:1::6", 2)
    assert decision.network == host(parse_address("2001:db8:7:1::6"))
    spread = [failure(f"2001:db8:7:1::1:{number:x}") for number in range(40)]
    (refused,) = {(one.verdict, one.entry.network if one.entry else None) for one in stages.process(spread, NOW_S)}
    assert refused == (Verdict.ALLOWLISTED, ALLOWED[2])


def test_a_flood_is_counted_in_total_and_a_network_apart() -> None:
    """Rules concern sources; the total of half-open connections stays that of all."""
    rules = {"10.0.0.0/8": NetworkRuleSettings(maxretry=30)}
    section = HalfOpenSettings(maxretry=20, total=100, networks=rules, allowlist=(parse_network("192.0.2.0/24"),))
    stages = Pipeline(Settings(detectors=Detectors(half_open=section)), (), small_table)
    attempts = {"10.1.1.1": 29, "192.0.2.9": 500, "198.51.100.1": 20}
    batch = [incomplete(source) for source, count in attempts.items() for _ in range(count)]
    batches = [FlowBatch(1000.0, attempts=len(batch), incomplete=batch), FlowBatch(1001.0, attempts=len(batch))]
    route = stages.routes["half_open"]
    alerts = list(route.feed(batches))
    assert [getattr(one, "source", None) for one in alerts] == [parse_address("198.51.100.1"), None]
    more = FlowBatch(1001.5, incomplete=[incomplete("10.1.1.1")])
    assert [getattr(one, "source", None) for one in route.feed([more])] == [parse_address("10.1.1.1")]


def test_a_reload_keeps_what_was_counted() -> None:
    """Of the windows of a detector those stay whose threshold stays, whatever networks they count for."""
    stages = stages_of(networks=RULES)
    assert fail(stages, "10.1.1.1", 3) == fail(stages, "192.0.2.7", 1) == []
    changed = RULES | {"172.16.0.0/12": NetworkRuleSettings(maxretry=9)}
    sshd = FailuresSettings(filter="sshd", mode=Mode.OBSERVE, maxretry=2, networks=changed)
    stages.reconfigure(Settings(detectors=Detectors(failures={"sshd": sshd})), (), NOW_S)
    assert len(fail(stages, "10.1.1.1", 1)) == len(fail(stages, "192.0.2.7", 1)) == 1


@pytest.mark.parametrize("mode", Mode)
def test_a_reload_ends_the_bans_that_an_allowlist_now_forbids(mode: Mode) -> None:
    """Those of its own detector: what others, or an operator, claim of the same network stays."""
    sections = Settings(detectors=Detectors(failures={}))
    stages = Pipeline(sections, (), willing_table)

    def follow(*allowlist: str) -> list[str]:
        allowed = tuple(map(parse_network, allowlist))
        sshd = FailuresSettings(filter="sshd", mode=mode, maxretry=2, allowlist=allowed)
        app = FailuresSettings(filter="sshd", mode=mode, maxretry=2)
        stages.reconfigure(Settings(detectors=Detectors(failures={"sshd": sshd, "app": app})), (), NOW_S)
        return sorted(f"{claim.network} {claim.detector}" for claim in stages.ledger.all_claims())

    follow()
    fail(stages, "198.51.100.9", 2)
    fail(stages, "198.51.100.10", 2)
    stages.process([failure("198.51.100.11", detector="app")] * 2, NOW_S)
    draft = stages.policy.draft(NOW_S)
    stages.policy.order(draft, parse_network("198.51.100.10"), Strength.PROVEN, 3600.0, "by hand")
    stages.bans.carry_out(draft)
    assert follow("198.51.100.8/29") == ["198.51.100.10 manual", "198.51.100.11 app"]
    assert follow() == ["198.51.100.10 manual", "198.51.100.11 app"]


def test_status_and_why_show_the_rules(tmp_path: Path) -> None:
    """Each network with what is in force there."""
    stages = stages_of(networks=RULES, allowlist=ALLOWED)
    answers = answers_of(stages, tmp_path)
    status = answers.look_up(Status()).result
    (sshd,) = (one for one in status["detectors"] if one["name"] == "sshd")
    assert len(sshd["networks"]) == len(RULES) + len(ALLOWED)
    fail(stages, "10.1.1.1", 1)
    why = answers.look_up(Why("10.1.1.1")).result
    (rule,) = why["rules"]
    assert (rule["detector"], rule["network"], rule["mode"], rule["maxretry"]) == ("sshd", "10.0.0.0/8", "observe", 4)
    assert why["counting"] == [{"detector": "sshd", "count": 1, "maxretry": 4}]
    assert answers.look_up(Why("10.3.9.1")).result["rules"][0]["is_allowed"]


def test_every_fault_is_at_its_key(tmp_path: Path) -> None:
    """Values outside the range of the detector, twice the same network, keys that the detector has not."""
    path = write(
        tmp_path,
        "detectors:\n"
        "  half_open: {networks: {10.0.0.0/8: {maxretry: 5}}}\n"
        "  protected_port: {networks: {10.0.0.0/8: {maxretry: 5}}}\n"
        "  port_scan:\n"
        "    max_entries: 1024\n"
        "    allowlist: [10.0.0.0/8]\n"
        "    networks:\n"
        "      10.0.0.0/8: {mode: observe}\n"
        "      2001:db8::/32: {maxretry: 2000}\n"
        "      2001:DB8::/32: {mode: observe}\n",
    )
    expected = {
        "2:49: detectors.half_open.networks.10.0.0.0/8.maxretry": "5 is out of range: expected 10 to 1000000",
        "3:54: detectors.protected_port.networks.10.0.0.0/8.maxretry": "this detector has no such key: one event is "
        "enough",
        "8:26: detectors.port_scan.networks.10.0.0.0/8.mode": "10.0.0.0/8 is there already, in allowlist",
        "9:33: detectors.port_scan.networks.2001:db8::/32.maxretry": "2000 can never be reached: it must be less than "
        "max_entries (1024)",
        "10:29: detectors.port_scan.networks.2001:DB8::/32.mode": "2001:db8::/32 is there already, as 2001:db8::/32",
    }
    assert faults_of(path) == [f"nodewarden.yaml:{place}: {text}" for place, text in expected.items()]
    path = write(tmp_path, "detectors: {port_scan: {networks: {10.0.0.1/8: {mode: observe}, nowhere: {}}}}\n")
    assert ["host bits" in one or "expected a network" in one for one in faults_of(path)] == [True, True]


def test_files_merge_by_network(tmp_path: Path) -> None:
    """A later file changes one key of one network, and `config show` names each with its origin."""
    path = write(tmp_path, "detectors: {port_scan: {networks: {10.0.0.0/8: {mode: observe, maxretry: 50}}}}\n")
    write(tmp_path, "detectors: {port_scan: {networks: {10.0.0.0/8: {maxretry: 60}}}}\n", "conf.d/50-local.yaml")
    loaded = load(path)
    section: DetectorSettings = loaded.settings.detectors.section("port_scan")
    assert msgspec.structs.asdict(section.networks["10.0.0.0/8"])["maxretry"] == 60
    assert section.networks["10.0.0.0/8"].mode is Mode.OBSERVE
    assert "50-local" in str(loaded.origins["detectors.port_scan.networks.10.0.0.0/8.maxretry"])
