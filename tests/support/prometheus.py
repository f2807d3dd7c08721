"""Debian's Prometheus in a host of the lab, with our example configuration."""

import datetime
import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support.daemon import wait_for
from tests.support.lab import Host

EXAMPLE = Path(__file__).parents[2] / "dashboards/provisioning/prometheus.yml"
RULES = sorted((Path(__file__).parents[2] / "dashboards/rules").glob("*.yaml"))
PORT = 9090
_TIMEOUT_S = 30


class QueryError(Exception):
    """Prometheus refused a query."""


class Prometheus:
    """A server that scrapes the targets; it is stopped with the host."""

    def __init__(
        self, host: Host, directory: Path, targets: Mapping[str, str], *, scrape_s: float, rules: Sequence[Path] = ()
    ) -> None:
        """`targets` are addresses with port by instance; nothing runs yet."""
        self._host = host
        self._directory = directory
        self._data = directory / "data"
        self._data.mkdir(parents=True)
        self._log = directory / "prometheus.log"
        settings = yaml.safe_load(EXAMPLE.read_text())
        interval = f"{round(scrape_s * 1000)}ms"
        settings["global"] = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        settings["rule_files"] = [str(path) for path in rules]
        (job,) = settings["scrape_configs"]
        labels = job["static_configs"][0]["labels"]
        job["static_configs"] = [
            {"targets": [address], "labels": {**labels, "instance": name}} for name, address in targets.items()
        ]
        self.configuration = directory / "prometheus.yml"
        self.configuration.write_text(yaml.safe_dump(settings))

    def add_history(self, openmetrics: str) -> None:
        """Add past samples to its storage before it starts."""
        text = self._directory / "history.txt"
        text.write_text(openmetrics)
        command: list[str | Path] = ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, self._data]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Start it and wait until it is ready; RuntimeError with its log if it does not come up."""
        self._host.run("promtool", "check", "config", self.configuration)
        with self._log.open("w") as log:
            self._host.start(
                "prometheus",
                f"--config.file={self.configuration}",
                f"--storage.tsdb.path={self._data}",
                f"--web.listen-address=127.0.0.1:{PORT}",
                "--log.level=warn",
                stderr=log,
            )
        wait_for(self._is_ready, "Prometheus", self._log.read_text, 20)

    def query(self, expression: str, time_s: float | None = None) -> list[dict[str, Any]]:
        """Query the value of each series, now or at a time; QueryError if it is refused."""
        return self._ask("query", query=expression, **({} if time_s is None else {"time": time_s}))

    def query_range(self, expression: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """Query the values of each series over time."""
        return self._ask("query_range", query=expression, start=start_s, end=end_s, step=step_s)

    def value(self, expression: str) -> float | None:
        """Query a single value; None if there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def evaluated_s(self) -> float:
        """Return when the evaluation started that every group of rules has completed; 0 if one has completed none."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        started = [datetime.datetime.fromisoformat(group["lastEvaluation"]) for group in groups]
        return max(0.0, min(moment.timestamp() for moment in started))

    def _ask(self, what: str, **parameters: str | float) -> list[dict[str, Any]]:
        answer = json.loads(self._get(f"/api/v1/{what}", urllib.parse.urlencode(parameters).encode()))
        if answer["status"] != "success":
            raise QueryError(f"{answer['error']}: {parameters['query']}")
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def _is_ready(self) -> bool:
        try:
            self._get("/-/ready")
        except OSError:
            return False
        return True

    def _get(self, path: str, body: bytes | None = None) -> bytes:
        with self._host.entered():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", body, _TIMEOUT_S) as response:
                    answer: bytes = response.read()
            except urllib.error.HTTPError as error:
                if error.code == 503:
                    raise
                answer = error.read()
        return answer
