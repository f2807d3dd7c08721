"""Logs of pods: which files a match names, whose they are, and pods that come and go."""

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detectors.failures import FailuresDetector, FailuresSettings
from monitor.filters.library import load_filter
from monitor.filters.matcher import LogMatcher
from monitor.model.alerts import Strength
from monitor.model.events import AuthFailure
from monitor.model.pods import PodLog, parse_pod_match, pattern_of, pod_log
from monitor.model.requirements import Privileges
from monitor.sources.tail.reader import Tail
from monitor.sources.tail.requirements import FilesFindings
from monitor.sources.tail.settings import FilesSettings

_UID = "0aa7b8a7-2bd1-4e2a-9d0c-3f8f6d0e1a11"
_NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", fullmatch=True)


@given(_NAMES, _NAMES, _NAMES)
def test_a_path_says_whose_log_it_is(namespace: str, pod: str, container: str) -> None:
    """The names of any pod come back from the path of its log, and the text says them."""
    path = f"/var/log/pods/{namespace}_{pod}_{_UID}/{container}/0.log"
    log = pod_log(path)
    assert log == PodLog(namespace, pod, container)
    assert str(log) == f"pod {namespace}/{pod}, container {container}"


@pytest.mark.parametrize("text", ["", "a/b", "a/b/c/d", "a//c", "A/b/c", "a_b/c/d", "../b/c\n", "a/[b]/c", "a/b/c\x1b"])
def test_a_match_is_three_names(text: str) -> None:
    """Nothing else: no directory above, no other pattern, no control character."""
    with pytest.raises(ValueError, match="NAMESPACE/POD/CONTAINER"):
        parse_pod_match(text)
    assert pod_log(f"/var/log/pods/{text}") is None


def test_another_path_is_no_pods() -> None:
    """A file or journal of the node."""
    for path in (
        "journal",
        "/var/log/nginx/access.log",
        "/var/log/pods/a_b/c/0.log",
        "/srv/var/log/pods/a_b_c/d/0.log",
    ):
        assert pod_log(path) is None


def _record(address: str) -> str:
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000001Z", time.gmtime())
    date = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    return f'{now} stdout F {address} - - [{date}] "GET /.env HTTP/1.1" 404 153 "-" "x"\n'


def test_pods_come_and_go(tmp_path: Path) -> None:
    """Those of the match only; a restarted container, a rotated log, a link elsewhere, a pod that is deleted."""
    tail = Tail({"web": [pattern_of("shop-*/web-*/nginx", str(tmp_path / "pods"))]})
    matcher = LogMatcher({"web": load_filter("nginx-scan")}, use_hyperscan=False)

    def read() -> list[int]:
        tail._is_stale = True
        found = [event.source[3] for block in tail.read() for event in matcher.scan(block)]
        tail.tick()
        return sorted(found)

    def log(directory: str, number: int = 0) -> Path:
        path = tmp_path / "pods" / directory / f"{number}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    assert (read(), len(tail.waiting)) == ([], 1)
    mine = log(f"shop-a_web-1_{_UID}/nginx")
    mine.write_text(_record("192.0.2.1"))
    log(f"shop-a_web-1_{_UID}/sidecar").write_text(_record("192.0.2.2"))
    log(f"other_web-1_{_UID}/nginx").write_text(_record("192.0.2.3"))
    log(f"shop-a_db-1_{_UID}/nginx").write_text(_record("192.0.2.4"))
    assert (read(), tail.waiting) == ([1], [])
    log(f"shop-a_web-1_{_UID}/nginx", 1).write_text(_record("192.0.2.5"))
    mine.rename(mine.with_name("0.log.20260101-120000"))
    mine.write_text(_record("192.0.2.6"))
    docker = tmp_path / "docker.log"
    docker.write_text(_record("192.0.2.7"))
    log(f"shop-b_web-2_{_UID}/nginx").symlink_to(docker)
    assert read() == [5, 6, 7]
    for path in mine.parent.iterdir():
        path.unlink()
    assert read() == []
    tail.close()


def test_the_pod_is_named() -> None:
    """In the evidence, which `why` and events show."""
    detector = FailuresDetector("web", FailuresSettings(filter="nginx-scan", maxretry=1).limits(64))
    path = f"/var/log/pods/shop_web-1_{_UID}/nginx/0.log"
    event = AuthFailure(1e9, "web", bytes(4), Strength.SPOOFABLE, path, doubt="a container wrote it")
    (alert,) = detector.feed([event])
    assert alert.evidence is not None
    assert alert.evidence.what == "failures in web (pod shop/web-1, container nginx; shuns only: a container wrote it)"


def test_doctor_says_what_reads_them() -> None:
    """The files are the runtime's, new each time: no change of their mode lasts, but a capability does."""
    findings = FilesFindings({"web": ("/var/log/pods/a_b_c/d/0.log", "/var/log/app.log")})
    privileges = Privileges("nodewarden", is_sandboxed=True, capabilities=frozenset())
    (part,) = findings.parts(FilesSettings(), privileges)
    assert ["CAP_DAC_READ_SEARCH" in one.repair for one in part.requirements] == [True, False]
