"""What all parts require, what of it is missing, and the command that repairs it: pure, over what was probed.

Each source judges its own findings (`monitor/sources/NAME/requirements.py`). Here is what belongs to no source.
"""

from collections.abc import Iterator

from monitor.daemon.pipeline.wiring import kernel_uses
from monitor.daemon.selfcheck.probes import Probed
from monitor.daemon.sources.registrations import SOURCES
from monitor.model.requirements import RESTART, Part, PartKind, Requirement, capability_repair, drop_in
from monitor.node import kernel_settings
from monitor.settings.schema import Settings

_DESCRIPTORS = 4096
"""512 log files, as many as 2,400 files of the journal (one each), 64 and 40 connections of clients, about 50 for the
rest, and a quarter in reserve."""


def examine(settings: Settings, probed: Probed) -> list[Part]:
    """Return all parts, sources first; of each kind those last that are optional."""
    parts = [
        _filters(settings, probed),
        _logs(probed),
        _log_detectors(probed),
        _nftables(probed),
        *_sources(settings, probed),
        *_others(settings, probed),
    ]
    return in_order([*parts, *kernel_settings.parts(probed.sysctls, kernel_uses(settings))])


def in_order(parts: list[Part]) -> list[Part]:
    """Return parts by kind; of each kind those last that are optional."""
    kinds = list(PartKind)
    return sorted(parts, key=lambda part: (kinds.index(part.kind), part.is_optional))


def is_sound(parts: list[Part]) -> bool:
    """Whether nothing is missing that the configuration enables."""
    return all(part.state != "missing" for part in parts)


def _sources(settings: Settings, probed: Probed) -> Iterator[Part]:
    for row in SOURCES:
        yield from probed.sources[row.source.name].parts(row.settings_in(settings), probed.privileges)


def _filters(settings: Settings, probed: Probed) -> Part:
    scanner = Requirement(
        "Hyperscan: one pass for all filters", probed.hyperscan, "install again: `make install`, or the package"
    )
    slow = [
        Requirement(
            f"a filter of {name} that is fast on long lines",
            why,
            "nodewarden reload, when you have rewritten the expression in the filter's file (see nodewarden status)",
        )
        for name, why in probed.slow_filters.items()
    ]
    is_wanted = settings.sources.journal.enabled or settings.sources.files.enabled
    return Part("filters", PartKind.SOURCE, is_wanted, [scanner, *slow], is_optional=True)


def _logs(probed: Probed) -> Part:
    """Return the logs that detectors read: each must be there, and yield lines while its service runs."""
    missing = [
        Requirement(
            f"a log for detector {name}",
            why,
            f"set detectors.failures.{name}.files to the log, or enabled: false there",
        )
        for name, why in probed.missing_logs.items()
    ]
    silent = [
        Requirement(
            f"lines in the log of {name}",
            why,
            f"set detectors.failures.{name}.files or journalmatch to where the service logs, or silence: 0s there",
        )
        for name, why in probed.silent_logs.items()
    ]
    return Part("logs", PartKind.SOURCE, probed.reads_logs, [*missing, *silent])


def _log_detectors(probed: Probed) -> Part:
    """Return the detectors of logs: each must have a filter that can be loaded, and a log to read."""
    lost = [
        Requirement(f"a filter and a log for {name}", why, "nodewarden config check && nodewarden reload")
        for name, why in probed.filter_faults.items()
    ]
    return Part("log_detectors", PartKind.SOURCE, is_wanted=True, requirements=lost)


def _nftables(probed: Probed) -> Part:
    """Return the part that bans by hand need in any case."""
    is_allowed = "CAP_NET_ADMIN" in probed.privileges.capabilities
    repair = "modprobe nf_tables" if is_allowed else capability_repair("CAP_NET_ADMIN", probed.privileges)
    requirements = [
        Requirement("the kernel's nf_tables", probed.nftables, repair),
        Requirement(
            "the table inet nodewarden as it should be",
            probed.table and f"it {probed.table}",
            "journalctl -u nodewarden -g 'table inet nodewarden'",
        ),
    ]
    if probed.owner:
        stop = "systemctl stop nodewarden, or end the process that is named"
        requirements.append(Requirement("a network namespace of its own", probed.owner, stop))
    return Part("nftables", PartKind.ENFORCER, is_wanted=True, requirements=requirements)


def _others(settings: Settings, probed: Probed) -> Iterator[Part]:
    privileges = probed.privileges
    cluster_repair = capability_repair("CAP_DAC_READ_SEARCH", privileges)
    cluster = [
        Requirement(path, "may not be read, so what it names of the cluster could be banned", cluster_repair)
        for path in probed.cluster
    ]
    yield Part("kubernetes", PartKind.PROTECTION, settings.bans.protect.kubernetes, cluster)
    pods = [Requirement(path, "may not be read, so pods are not named", cluster_repair) for path in probed.pods]
    if pods:  # on other nodes there is nothing to say
        yield Part("pods", PartKind.SERVICE, is_wanted=True, requirements=pods, is_optional=True)
    directory = settings.state.directory
    repair = f"install -d -o {privileges.account} -m 750 {directory} && " + (
        drop_in("state", f"ReadWritePaths={directory}") if privileges.is_sandboxed else RESTART
    )
    state = Requirement(f"{directory}, to be written", probed.state, repair)
    yield Part("state", PartKind.SERVICE, is_wanted=True, requirements=[state])
    listen = settings.metrics.listen
    port = Requirement(f"{listen} to serve metrics on", probed.metrics, f"ss -ltnp 'sport = {listen.port}'")
    name = settings.metrics.web_config_file
    web = Requirement(
        "metrics.web_config_file", probed.web_config, f"correct {name}; {privileges.account} must be able to read it"
    )
    yield Part("metrics", PartKind.SERVICE, settings.metrics.enabled, [port, *([web] if name else [])])
    group = Requirement(
        "the group that control.group names", probed.group, f"groupadd --system {settings.control.group}"
    )
    yield Part("control", PartKind.SERVICE, is_wanted=True, requirements=[group], is_optional=True)
    yield Part("descriptors", PartKind.SERVICE, is_wanted=True, requirements=[_descriptors(probed)], is_optional=True)


def _descriptors(probed: Probed) -> Requirement:
    """Return what sources, servers and state can need at most, with a quarter in reserve; below 0 is no limit."""
    is_few = 0 <= probed.descriptors < _DESCRIPTORS
    missing = f"this process may have {probed.descriptors}" if is_few else ""
    return Requirement(f"{_DESCRIPTORS:,} file descriptors", missing, drop_in("descriptors", "LimitNOFILE=8192"))
