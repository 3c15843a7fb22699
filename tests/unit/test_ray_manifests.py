"""Ray on EKS and on HyperPod: manifests against what KubeRay and AWS publish."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
MANIFEST: dict[str, Any] = yaml.safe_load((ROOT / "ray_tasks" / "kuberay.yaml").read_text())
SCHEMA: dict[str, Any] = yaml.safe_load(
    (ROOT / "tests" / "unit" / "data" / "rayjob_schema.yaml").read_text()
)
CLUSTER = MANIFEST["spec"]["rayClusterSpec"]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one.get("value") or one["valueFrom"] for one in container["env"]}


def pods() -> list[dict[str, Any]]:
    groups = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
    templates = [MANIFEST["spec"]["submitterPodTemplate"], *(one["template"] for one in groups)]
    return [template["spec"]["containers"][0] for template in templates]


def test_the_manifest_is_a_rayjob_as_kuberay_publishes_it() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(MANIFEST)


@pytest.mark.parametrize("field", ["entryPoint", "rayClusterSpec.headGroup"])
def test_the_schema_would_tell_of_a_mistake(field: str) -> None:
    wrong = copy.deepcopy(MANIFEST)
    *way, name = field.split(".")
    place = wrong["spec"]
    for step in way:
        place = place[step]
    place[name] = {}
    with pytest.raises(jsonschema.ValidationError, match=name):
        jsonschema.Draft202012Validator(SCHEMA).validate(wrong)


def test_every_process_of_ray_asks_for_the_secrets_token() -> None:
    reference = {"secretKeyRef": {"name": "trivium-ray", "key": "auth_token"}}
    for container in (*pods(), CLUSTER["autoscalerOptions"]):
        found = environment(container)
        assert (found["RAY_AUTH_MODE"], found["RAY_AUTH_TOKEN"]) == ("token", reference)


def test_the_agent_on_the_head_speaks_to_the_jobs_api_beside_it() -> None:
    _, head, _ = pods()
    assert environment(head)["TRIVIUM_RAY_ADDRESS"] == "http://127.0.0.1:8265"
    words = shlex.split(MANIFEST["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "agents", "ray"]
    [workers] = CLUSTER["workerGroupSpecs"]
    assert words[words.index("--max-nodes") + 1] == str(workers["maxReplicas"])
    [kind] = workers["template"]["spec"]["nodeSelector"].values()
    assert words[words.index("--instance-type") + 1] == kind
    assert workers["minReplicas"] == 0
