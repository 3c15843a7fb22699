"""The MPI cluster's configuration, read by ParallelCluster itself in an environment of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hpc.cluster_config import (
    PROVIDER,
    ClusterSize,
    check_size,
    cluster_config,
    cluster_stack,
)
from placement.books import default_books
from placement.errors import UserError
from tests.command import Run
from trivium.cluster import packed

ROOT = Path(__file__).parent.parent.parent
PCLUSTER = ROOT / ".tools" / "pcluster" / "bin" / "python"
READ = """
import json, sys
from marshmallow import ValidationError
from pcluster.schemas.cluster_schema import ClusterSchema
try:
    ClusterSchema(cluster_name="trivium").load(json.load(sys.stdin))
except ValidationError as error:
    sys.exit(str(error))
"""
SIZE = ClusterSize("subnet-0a1b2c3d", "hpc7g.16xlarge", "c7g.4xlarge", 4)
BOOK = default_books()[1]
POLICY = "arn:aws:iam::123456789012:policy/"
OUTPUTS = {
    "Bucket": "data",
    "Ledger": "ledger",
    "HpcQueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/work",
    "HpcAgentPolicyArn": f"{POLICY}agent",
    "ClusterJobsPolicyArn": f"{POLICY}jobs",
}


def config(size: ClusterSize = SIZE) -> dict[str, Any]:
    script = "s3://data/cluster/0123/install_agent.sh"
    return cluster_config(size, BOOK, OUTPUTS, "trivium", script, "f" * 64)


def said_by_parallelcluster(config: dict[str, Any]) -> str:
    """Return what ParallelCluster finds wrong, "" where nothing is."""
    if not PCLUSTER.exists():
        pytest.skip("ParallelCluster is not installed; `make test` installs it")
    done = subprocess.run(
        [str(PCLUSTER), "-c", READ],
        input=json.dumps(config),
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "us-east-1", "PATH": os.environ["PATH"]},
    )
    return "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "size",
    [
        SIZE,
        replace(SIZE, mpi_type="c6i.32xlarge", cheap_type="c6i.large", most_nodes=16),
    ],
)
def test_parallelcluster_reads_what_is_rendered(size: ClusterSize) -> None:
    check_size(size, BOOK)
    assert said_by_parallelcluster(config(size)) == ""


def said_by_cfn_lint(template: Path) -> str:
    """Return what cfn-lint finds wrong, "" where nothing is."""
    words = [str(Path(sys.executable).with_name("cfn-lint")), str(template)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_the_provider_may_attach_what_nodes_are_given_and_nothing_else() -> None:
    stack = cluster_stack(config(), "lab")["Resources"]
    [statement] = stack["AttachPolicies"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {
        "ArnEquals": {
            "iam:PolicyARN": [
                f"{POLICY}agent",
                f"{POLICY}jobs",
                "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
            ]
        }
    }


def test_the_provider_is_of_the_version_whose_schema_is_read() -> None:
    pinned = (ROOT / "requirements" / "pcluster.txt").read_text()
    [version] = re.findall(r"^aws-parallelcluster==(\S+)", pinned, re.MULTILINE)
    assert f"/parallelcluster/{version}/" in PROVIDER


def test_the_queue_under_pcs_is_the_one_that_the_agent_feeds() -> None:
    template = yaml.load((ROOT / "hpc" / "pcs.yaml").read_text(), Loader=Tagged)  # noqa: S506 - a SafeLoader
    unit = (ROOT / "agents" / "trivium-agent.service").read_text()
    queue = template["Resources"]["Queue"]["Properties"]["Name"]
    assert f"--partition {queue} " in unit


class Tagged(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what stands behind them."""


Tagged.add_multi_constructor("!", lambda _loader, _tag, node: getattr(node, "value", None))


def test_parallelcluster_would_tell_of_a_mistake() -> None:
    wrong = config()
    wrong["HeadNode"]["Networking"]["Subnet"] = "subnet-0a1b2c3d"
    assert "Unknown field" in said_by_parallelcluster(wrong)


def test_nodes_come_from_zero_and_only_those_for_mpi_have_efa_and_a_placement_group() -> None:
    mpi, cheap = config()["Scheduling"]["SlurmQueues"]
    [mpi_nodes], [cheap_nodes] = mpi["ComputeResources"], cheap["ComputeResources"]
    assert (mpi_nodes["MinCount"], cheap_nodes["MinCount"]) == (0, 0)
    assert (mpi_nodes["MaxCount"], cheap_nodes["MaxCount"]) == (4, 4)
    assert mpi_nodes["Efa"] == {"Enabled": True}
    assert mpi["Networking"]["PlacementGroup"] == {"Enabled": True}
    assert "Efa" not in cheap_nodes
    assert "PlacementGroup" not in cheap["Networking"]


def test_the_head_is_reached_without_ssh_and_reads_nothing_but_its_package() -> None:
    head = config()["HeadNode"]
    assert "KeyName" not in head["Ssh"]
    assert head["Imds"] == {"Secured": True}
    assert head["Iam"]["S3Access"] == [{"BucketName": "data", "KeyName": "cluster/*"}]
    assert [each["Policy"] for each in head["Iam"]["AdditionalIamPolicies"]] == [
        f"{POLICY}jobs",
        f"{POLICY}agent",
        "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
    ]


def test_the_head_has_the_architecture_of_its_nodes() -> None:
    assert config()["HeadNode"]["InstanceType"] == "c6g.large"
    other = replace(SIZE, mpi_type="c6i.32xlarge", cheap_type="c6i.large")
    assert config(other)["HeadNode"]["InstanceType"] == "c6i.large"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mpi_type": "hpc7a.96xlarge"}, "not sold with EFA in us-east-1; there are: c5n.9xlarge"),
        ({"mpi_type": "c7g.large"}, "--mpi-type is 'c7g.large', which is not sold with EFA"),
        ({"cheap_type": "c99.large"}, "--cheap-type is 'c99.large', which is not sold in us-east"),
        ({"cheap_type": "c6i.large"}, "all nodes of a cluster have one architecture"),
        ({"subnet": "vpc-1"}, "--subnet is 'vpc-1'; give a subnet's id"),
        ({"most_nodes": 0}, "--most-nodes is 0; give 1 to 1000"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        check_size(replace(SIZE, **change), BOOK)
    assert said in str(refused.value)


def test_the_same_checkout_gives_the_same_archive() -> None:
    assert packed(ROOT) == packed(ROOT)


def test_the_command_writes_a_folder_and_says_what_to_do_with_it(
    trivium: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = SimpleNamespace(outputs=OUTPUTS)
    monkeypatch.setattr("trivium.cluster.Target", SimpleNamespace(choose=lambda _: target))
    folder = tmp_path / "cluster"
    words = ("cluster", "render", folder, "--subnet", SIZE.subnet, "--stack", "lab")
    done = trivium(*words)
    assert done.code == 0
    written = yaml.safe_load((folder / "cluster.yaml").read_text())
    assert said_by_parallelcluster(written) == ""
    script, arguments = written["HeadNode"]["CustomActions"]["OnNodeConfigured"].values()
    checksum = hashlib.sha256((folder / "trivium.tar.gz").read_bytes()).hexdigest()
    assert arguments[:2] == [script.removesuffix("/install_agent.sh"), checksum]
    stack = folder / "cluster-stack.yaml"
    assert said_by_cfn_lint(stack) == ""
    cluster = yaml.safe_load(stack.read_text())["Resources"]["Cluster"]["Properties"]
    assert (cluster["ClusterName"], cluster["ClusterConfiguration"]) == ("lab", written)
    assert f"pcluster create-cluster -n lab -c {folder}/cluster.yaml\n" in done.out
    again = trivium(*words)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_the_archive_holds_what_the_script_and_the_unit_name() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(ROOT))) as archive:
        names = set(archive.getnames())
    assert {
        ".python-version",
        "agents/trivium-agent.service",
        "agents/__main__.py",
        "hpc/spectral.py",
        "requirements/project.txt",
        "requirements/uv.txt",
    } <= names
    assert not any("__pycache__" in name for name in names)
