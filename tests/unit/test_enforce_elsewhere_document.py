"""The policies that docs/enforce-elsewhere.md proposes deny what is listed, and nothing else."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.cli.exported_bans import NOTATIONS, Elsewhere

_DOCUMENT = Path(__file__).parents[2] / "docs/enforce-elsewhere.md"
_BLOCK = re.compile(r"^ {4}apiVersion: .*\n(?:(?: {4}.*)?\n)*", re.MULTILINE)


def _manifests() -> dict[str, dict[str, Any]]:
    """Return the objects of the document by their kind."""
    objects = [
        one for block in _BLOCK.findall(_DOCUMENT.read_text()) for one in yaml.safe_load_all(textwrap.dedent(block))
    ]
    return {one["kind"]: one for one in objects}


def _labels(notation: str) -> dict[str, str]:
    """Return the labels of what `nodewarden export` writes."""
    (line,) = NOTATIONS[notation](Elsewhere(name="x"), [], [], [])
    labels: dict[str, str] = yaml.safe_load(line)["metadata"]["labels"]
    return labels


def test_the_policy_of_cilium_denies_nothing_else() -> None:
    """A policy with rules turns on default deny in their direction unless it says otherwise, deny rules included."""
    spec = _manifests()["CiliumClusterwideNetworkPolicy"]["spec"]
    directions = {rule[:-4] for rule in spec if rule.endswith("Deny") and rule != "enableDefaultDeny"}
    assert directions
    assert spec["enableDefaultDeny"] == dict.fromkeys(directions, False)


def test_the_policy_of_calico_denies_nothing_else() -> None:
    """Its tier passes on what it does not deny, and no rule of it decides for the tiers behind it."""
    manifests = _manifests()
    tier, policy = manifests["Tier"], manifests["GlobalNetworkPolicy"]
    assert tier["spec"]["defaultAction"] == "Pass"
    assert policy["spec"]["tier"] == tier["metadata"]["name"] != "default"
    assert policy["metadata"]["name"].startswith(f"{tier['metadata']['name']}.")
    assert {rule["action"] for rule in policy["spec"]["ingress"]} == {"Deny"}


@pytest.mark.parametrize("notation", ["cilium", "calico"])
def test_policies_select_what_is_exported(notation: str) -> None:
    """The label that a policy names is one of the exported object."""
    manifests = _manifests()
    if notation == "cilium":
        (rule,) = manifests["CiliumClusterwideNetworkPolicy"]["spec"]["ingressDeny"]
        (chosen,) = rule["fromCIDRSet"]
        wanted = chosen["cidrGroupSelector"]["matchLabels"]
    else:
        (rule,) = manifests["GlobalNetworkPolicy"]["spec"]["ingress"]
        name, _, value = rule["source"]["selector"].partition(" == ")
        wanted = {name: value.strip("'")}
    assert wanted.items() <= _labels(notation).items()
