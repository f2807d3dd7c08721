"""What is served at which path: metrics, health, and nothing else."""

import pytest

from monitor.metrics.exporter import Exporter
from monitor.metrics.http_message import HttpAnswer, HttpRequest
from monitor.metrics.metric import COUNTER, Metric
from monitor.metrics.process import ProcessSamples
from monitor.model.problems import UNHEALTHY, Problem, ProblemKind

_CATALOGUE = [Metric("nodewarden_things_total", COUNTER, "Things.")]


def _ask(target: str, method: str = "GET", *problems: Problem) -> HttpAnswer:
    exporter = Exporter(_CATALOGUE, lambda: [("nodewarden_things_total", (), 7)], lambda: problems)
    (answer,) = exporter.respond([HttpRequest(method, target, {})])
    return answer


@pytest.mark.parametrize("target", ["/metrics", "/metrics?name[]=up", "http://node1:9843/metrics"])
def test_metrics_are_served_in_every_form_of_the_request(target: str) -> None:
    """With a query, and in the absolute form that proxies send."""
    answer = _ask(target)
    assert (answer.status, answer.is_monitoring) == (200, True)
    assert b"nodewarden_things_total 7.0" in answer.body


@pytest.mark.parametrize(
    "target", ["/", "/metrics/", "//metrics", "/Metrics", "/metrics%20", "/health", "*", "http://", "http://[/x", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_paths_are_not_found(target: str, method: str) -> None:
    """Whatever the method is; the answer names the paths there are, and whoever gets it is no monitor."""
    answer = _ask(target, method)
    assert (answer.status, answer.is_monitoring) == (404, False)
    assert b"/metrics, /healthz, /livez" in answer.body


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/livez"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get", "TRACE"])
def test_other_methods_are_not_allowed(target: str, method: str) -> None:
    """The answer says which are (RFC 9110, section 15.5.6)."""
    answer = _ask(target, method)
    assert (answer.status, answer.is_monitoring) == (405, False)
    assert ("Allow", "GET, HEAD") in answer.headers


@pytest.mark.parametrize("target", ["/metrics", "/healthz", "/livez", "/nothing"])
def test_head_is_answered_without_the_body(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status and headers are those of GET, the length of the body too (RFC 9110, section 9.3.2)."""
    monkeypatch.setattr(ProcessSamples, "read", lambda _: [])  # of which the second has other figures
    whole, head = _ask(target).encode(), _ask(target, "HEAD").encode()
    assert whole.startswith(head)
    assert head.endswith(b"\r\n\r\n")
    assert len(whole) > len(head)


def test_the_guard_is_healthy_while_it_works() -> None:
    """Without problems, and with those that are for people only."""
    kept = [Problem(kind, "all else") for kind in ProblemKind if kind not in UNHEALTHY]
    for answer in (_ask("/healthz"), _ask("/healthz", "GET", *kept)):
        assert (answer.status, answer.body) == (200, b"ok\n")


@pytest.mark.parametrize("kind", sorted(UNHEALTHY))
def test_what_keeps_it_from_working_makes_it_unhealthy_and_not_dead(kind: ProblemKind) -> None:
    """The problem is named in one line; a restart would repair nothing, so `/livez` stays well."""
    problems = Problem(ProblemKind.BUDGET, "more bans than allowed"), Problem(kind, "it is\nnot there")
    answer = _ask("/healthz", "GET", *problems)
    assert (answer.status, answer.body.decode()) == (503, f"unhealthy\n{kind}: it is not there\n")
    assert _ask("/livez", "GET", *problems).status == 200


def test_a_loop_that_does_not_respond_is_dead() -> None:
    """Both pages say so; metrics are not asked for."""

    def stuck() -> list[Problem]:
        raise TimeoutError

    exporter = Exporter(_CATALOGUE, list, stuck)
    answers = exporter.respond([HttpRequest("GET", "/livez", {}), HttpRequest("GET", "/healthz", {})])
    assert {answer.status for answer in answers} == {503}
