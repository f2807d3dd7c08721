"""The Kubernetes manifests: their files, and the output of kustomize."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
_KUSTOMIZE = (5, 0)
"""The oldest version that supports all fields in use."""


def documents(text: str) -> list[dict[str, Any]]:
    """Return the documents of a YAML text."""
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def kustomizations() -> dict[Path, dict[str, Any]]:
    """Return every kustomization by its directory."""
    return {path.parent: documents(path.read_text())[0] for path in sorted(KUBERNETES.rglob("kustomization.yaml"))}


def referenced(directory: Path, kustomization: dict[str, Any]) -> Iterator[Path]:
    """Yield the files and directories that a kustomization names."""
    names = [*kustomization.get("resources", []), *kustomization.get("components", [])]
    names += [patch["path"] for patch in kustomization.get("patches", []) if "path" in patch]
    for generator in kustomization.get("configMapGenerator", []):
        names += [name.rpartition("=")[2] for name in generator["files"]]
    for name in names:
        yield directory / name


def render(overlay: Path, *components: str) -> list[dict[str, Any]]:
    """Return all manifests with an overlay in the empty directory `overlay` and these components applied."""
    there = os.path.relpath(KUBERNETES, overlay.resolve())
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [there],
        "components": [f"{there}/components/{name}" for name in components],
    }
    return built(overlay, yaml.safe_dump(kustomization))


def built(overlay: Path, kustomization: str) -> list[dict[str, Any]]:
    """Return the output of kustomize for this kustomization, written to `overlay` next to its other files."""
    _need_kustomize()
    (overlay / "kustomization.yaml").write_text(kustomization)
    done = subprocess.run(["kubectl", "kustomize", overlay], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return documents(done.stdout)


def _need_kustomize() -> None:
    """Skip without kustomize, in CI too: no package of Debian 12 has one that supports components."""
    if shutil.which("kubectl"):
        told = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True).stdout
        found = re.search(r"Kustomize Version: v(\d+)\.(\d+)", told)
        if found and (int(found[1]), int(found[2])) >= _KUSTOMIZE:
            return
    pytest.skip(f"needs a kubectl with kustomize {'.'.join(map(str, _KUSTOMIZE))} or later, which Debian 12 lacks")


def one(found: Sequence[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """Return the object of this kind and name."""
    (wanted,) = [item for item in found if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return wanted
