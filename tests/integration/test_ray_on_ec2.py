"""A Ray cluster on EC2: what is written for it, deployed in memory, scaled by Ray's own code."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from cfnlint.decode import cfn_yaml
from moto import mock_aws
from ray.autoscaler._private.aws import utils
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

from placement.books import default_books
from placement.errors import UserError
from ray_tasks.autoscaling import Workers, autoscaler_config
from ray_tasks.cluster_size import HEAD_TYPES, RaySize, check_size, parameters
from tests.command import Run
from tests.integration.support import ROOT, until
from tests.support import ENVIRONMENT, set_environment
from trivium.cluster import RAY_TEMPLATE, packed

BOOK = default_books()[1]
POLICY = "arn:aws:iam::123456789012:policy/"
OUTPUTS = {
    "Bucket": "data",
    "Ledger": "ledger",
    "RayQueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/ray",
    "RayAgentPolicyArn": f"{POLICY}agent",
    "ClusterJobsPolicyArn": f"{POLICY}jobs",
}
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:token"
SIZE = RaySize("subnet-0a1b2c3d", "c7i.4xlarge", 4, spot=False)
NOTHING = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::nothing"}


@dataclass(frozen=True)
class Deployed:
    """The stack in memory: ids by names in the template, and where its nodes are."""

    ec2: Any
    ids: dict[str, str]
    subnet: str
    vpc: str

    def instance(self, name: str) -> dict[str, Any]:
        [reservation] = self.ec2.describe_instances(InstanceIds=[name])["Reservations"]
        [instance] = reservation["Instances"]
        return dict(instance)

    def user_data(self, name: str) -> str:
        told = self.ec2.describe_instance_attribute(InstanceId=name, Attribute="userData")
        return base64.b64decode(told["UserData"]["Value"]).decode()


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return AWS's EC2 in memory."""
    set_environment(monkeypatch, ENVIRONMENT)
    # Ray keeps its clients for as long as the process lives.
    for cache in (utils.client_cache, utils.resource_cache):
        cache.cache_clear()
    with mock_aws():
        yield boto3.client("ec2", region_name="us-east-1")


def template() -> dict[str, Any]:
    """Return the template with functions of CloudFormation in their long form."""
    return dict(json.loads(json.dumps(cfn_yaml.load(str(RAY_TEMPLATE)))))


@pytest.fixture
def deployed(ec2: Any) -> Deployed:
    """Return the template as deployed beside a main stack, `lab`."""
    zone = {"Name": "availability-zone", "Values": ["us-east-1a"]}
    [subnet] = ec2.describe_subnets(Filters=[zone])["Subnets"]
    size = replace(SIZE, subnet=subnet["SubnetId"])
    values = parameters(
        size, BOOK, OUTPUTS, "lab", subnet["VpcId"], "cluster/01/a.tar.gz", "f" * 64
    )
    body = template()
    # The emulator's CloudFormation knows no public parameters, no secrets and no rules for egress.
    body["Parameters"] |= {"Image": {"Type": "String"}, "Token": {"Type": "String"}}
    del body["Resources"]["Token"], body["Resources"]["ToNodes"]
    values |= {"Image": ec2.describe_images()["Images"][0]["ImageId"], "Token": SECRET}
    document = json.dumps({"Version": "2012-10-17", "Statement": [NOTHING]})
    for policy in ("agent", "jobs"):
        boto3.client("iam").create_policy(PolicyName=policy, PolicyDocument=document)
    stacks = boto3.client("cloudformation")
    stacks.create_stack(
        StackName="lab-ray",
        TemplateBody=json.dumps(body),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()],
    )
    made = stacks.describe_stack_resources(StackName="lab-ray")["StackResources"]
    ids = {one["LogicalResourceId"]: one.get("PhysicalResourceId", "") for one in made}
    return Deployed(ec2, ids, subnet["SubnetId"], subnet["VpcId"])


def settings_in(user_data: str) -> dict[str, str]:
    """Return what a node's user data says of the cluster."""
    lines = user_data.split("<<'SETTINGS'\n")[1].partition("\nSETTINGS")[0].splitlines()
    return dict(line.split("=", 1) for line in lines)


def autoscaler(deployed: Deployed) -> NodeProviderAdapter:
    """Return Ray's way to EC2, told what the head node tells it."""
    settings = settings_in(deployed.user_data(deployed.ids["Head"]))
    written = subprocess.run(
        [sys.executable, "-m", "ray_tasks.autoscaling"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    config = AutoscalingConfig(yaml.safe_load(written))
    reader = SimpleNamespace(get_cached_autoscaling_config=lambda: config)
    provider = AWSNodeProvider(  # type: ignore[no-untyped-call]
        config.get_config("provider"), config.get_config("cluster_name")
    )
    return NodeProviderAdapter(provider, reader)  # type: ignore[arg-type]


def test_rays_autoscaler_finds_the_head_and_launches_and_ends_workers(deployed: Deployed) -> None:
    head = deployed.ids["Head"]
    scaler = autoscaler(deployed)
    assert list(scaler.get_non_terminated()) == [head]
    scaler.launch({"worker": 1}, "request")
    until(lambda: len(scaler.get_non_terminated()) == 2, "a worker")
    assert scaler.poll_errors() == []
    [worker] = set(scaler.get_non_terminated()) - {head}
    launched = deployed.instance(worker)
    assert launched["InstanceType"] == "c7i.4xlarge"
    assert launched["SubnetId"] == deployed.subnet
    assert [group["GroupId"] for group in launched["SecurityGroups"]] == [deployed.ids["Nodes"]]
    tags = {tag["Key"]: tag["Value"] for tag in launched["Tags"]}
    assert tags["trivium:stack"] == "lab"
    # By these two the head's rights tell what it may launch and end.
    assert (tags["ray-cluster-name"], tags["ray-node-type"]) == ("lab-ray", "worker")
    scaler.terminate([worker], "request")
    until(lambda: list(scaler.get_non_terminated()) == [head], "the worker's end")
    assert deployed.instance(worker)["State"]["Name"] == "terminated"


def test_a_worker_is_told_where_the_head_is_and_what_to_install(deployed: Deployed) -> None:
    [version] = deployed.ec2.describe_launch_template_versions(LaunchTemplateName="lab-ray-worker")[
        "LaunchTemplateVersions"
    ]
    data = version["LaunchTemplateData"]
    told = base64.b64decode(data["UserData"]).decode()
    address = deployed.instance(deployed.ids["Head"])["PrivateIpAddress"]
    assert settings_in(told) == {
        "AWS_DEFAULT_REGION": "us-east-1",
        "TRIVIUM_BUCKET": "data",
        "TRIVIUM_RAY_HEAD": address,
        "RAY_NODE_TYPE_NAME": "worker",
    }
    assert "s3://data/cluster/01/a.tar.gz" in told
    assert f"echo '{'f' * 64}  trivium.tar.gz' | sha256sum --check" in told
    assert told.endswith(f"ray_tasks/install_node.sh worker {SECRET}\n")
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "InstanceMarketOptions" not in data


def test_what_nodes_run_when_they_boot_is_a_sound_script(deployed: Deployed) -> None:
    versions = deployed.ec2.describe_launch_template_versions(LaunchTemplateName="lab-ray-worker")
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]
    head = deployed.user_data(deployed.ids["Head"])
    for script in (head, base64.b64decode(data).decode()):
        shellcheck = Path(sys.executable).parent / "shellcheck"
        done = subprocess.run(
            [shellcheck, "-"], input=script, capture_output=True, text=True, check=False
        )
        assert done.stdout == ""


def test_nothing_but_the_nodes_reaches_the_nodes(deployed: Deployed) -> None:
    [group] = deployed.ec2.describe_security_groups(GroupIds=[deployed.ids["Nodes"]])[
        "SecurityGroups"
    ]
    [rule] = group["IpPermissions"]
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [deployed.ids["Nodes"]]
    assert (rule["IpRanges"], rule["Ipv6Ranges"], rule["PrefixListIds"]) == ([], [], [])
    assert "KeyName" not in deployed.instance(deployed.ids["Head"])


def test_the_tokens_value_stands_nowhere_in_the_template() -> None:
    assert "resolve:secretsmanager" not in RAY_TEMPLATE.read_text()
    roles = ("HeadRole", "WorkerRole")
    for role in roles:
        [set_up] = template()["Resources"][role]["Properties"]["Policies"]
        statements = set_up["PolicyDocument"]["Statement"]
        secret = [one for one in statements if one["Action"] == "secretsmanager:GetSecretValue"]
        assert [one["Resource"] for one in secret] == [{"Ref": "Token"}]


def test_the_head_may_launch_workers_from_their_template_only() -> None:
    document = template()["Resources"]["Scaling"]["Properties"]["PolicyDocument"]
    launching = [one for one in document["Statement"] if one["Action"] == "ec2:RunInstances"]
    for statement in launching:
        [named] = statement["Condition"]["ArnEquals"].values()
        assert named["Fn::Sub"].endswith("launch-template/${WorkerTemplate}")
    [instances] = [one for one in launching if "instance/" in json.dumps(one["Resource"])]
    assert instances["Condition"]["StringEquals"]["ec2:InstanceType"] == {"Ref": "WorkerType"}
    wide = [one["Action"] for one in document["Statement"] if one["Resource"] == "*"]
    assert wide == ["ec2:DescribeInstances"]


def test_ray_reads_what_the_head_tells_its_autoscaler() -> None:
    config = AutoscalingConfig(
        autoscaler_config(Workers("lab-ray", "lab", "us-east-1", SIZE.subnet, 16, 4))
    )
    workers = config.get_node_type_configs()["worker"]
    assert (workers.min_worker_nodes, workers.max_worker_nodes) == (0, 4)
    assert workers.resources == {"CPU": 16}
    assert config.get_node_type_configs()["head"].resources == {"CPU": 0}
    assert config.get_idle_timeout_s() == 300
    assert config.disable_node_updaters()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"worker_type": "c99.large"},
            "--worker-type is 'c99.large', which is not sold in us-east",
        ),
        (
            {"worker_type": "hpc7g.16xlarge"},
            "not sold in us-east-1; there are: c5.large, c5.xlarge",
        ),
        ({"subnet": "vpc-1"}, "--subnet is 'vpc-1'; give a subnet's id"),
        ({"most_nodes": 0}, "--most-nodes is 0; give 1 to 1000"),
    ],
)
def test_what_cannot_be_had_is_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        check_size(replace(SIZE, **change), BOOK)
    assert said in str(refused.value)


def test_the_head_and_the_image_have_the_workers_architecture() -> None:
    for name, arch in (("c7i.large", "x86_64"), ("c7g.large", "arm64")):
        given = parameters(
            replace(SIZE, worker_type=name), BOOK, OUTPUTS, "lab", "v", "k", "f" * 64
        )
        assert given["Image"].endswith(arch)
        assert BOOK.instance(given["HeadType"]).arch == arch
    assert set(HEAD_TYPES.values()) <= set(BOOK.ray_types)


def test_the_command_writes_a_folder_and_says_what_to_do_with_it(
    trivium: Run, ec2: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = SimpleNamespace(outputs=OUTPUTS)
    monkeypatch.setattr("trivium.cluster.Target", SimpleNamespace(choose=lambda _: target))
    subnet = ec2.describe_subnets()["Subnets"][0]
    folder = tmp_path / "cluster"
    words = ("cluster", "ray", folder, "--subnet", subnet["SubnetId"], "--stack", "lab", "--spot")
    done = trivium(*words)
    assert done.code == 0
    given = dict(
        line.split("=", 1) for line in json.loads((folder / "parameters.json").read_text())
    )
    assert set(given) == set(template()["Parameters"])
    assert given["Vpc"] == subnet["VpcId"]
    assert given["Spot"] == "true"
    checksum = hashlib.sha256((folder / "trivium.tar.gz").read_bytes()).hexdigest()
    assert given["ArchiveSha256"] == checksum
    assert (folder / "cluster.yaml").read_bytes() == RAY_TEMPLATE.read_bytes()
    copy, deploy = done.out.splitlines()
    assert copy == f"aws s3 cp {folder}/trivium.tar.gz s3://data/{given['ArchiveKey']}"
    assert deploy.startswith("aws cloudformation deploy --stack-name lab-ray --template-file ")
    again = trivium(*words)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_a_subnet_that_is_not_there_is_refused(
    trivium: Run, ec2: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ec2 is not None
    target = SimpleNamespace(outputs=OUTPUTS)
    monkeypatch.setattr("trivium.cluster.Target", SimpleNamespace(choose=lambda _: target))
    done = trivium("cluster", "ray", tmp_path / "new", "--subnet", SIZE.subnet)
    assert (done.code, not (tmp_path / "new").exists()) == (2, True)
    assert "AWS does not tell of the subnet subnet-0a1b2c3d" in done.err


def test_the_archive_holds_what_the_nodes_run() -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(ROOT))) as archive:
        modes = {entry.name: entry.mode for entry in archive.getmembers()}
    assert modes["ray_tasks/install_node.sh"] == 0o755
    assert {f"ray_tasks/trivium-ray-{kind}.service" for kind in ("head", "worker", "agent")} <= set(
        modes
    )
    assert "ray_tasks/autoscaling.py" in modes
