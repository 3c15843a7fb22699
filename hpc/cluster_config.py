"""The configuration of an MPI cluster under AWS ParallelCluster, for a stack of Trivium."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from placement.books import PlatformBook
from placement.errors import UserError

BASE = Path(__file__).with_name("cluster.yaml")
SESSIONS_POLICY = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
# Of the version whose schema the tests read a configuration with.
# https://docs.aws.amazon.com/parallelcluster/latest/ug/cfn-provider-stack.html
PROVIDER = (
    "https://${AWS::Region}-aws-parallelcluster.s3.${AWS::Region}.${AWS::URLSuffix}"
    "/parallelcluster/3.16.1/templates/custom_resource/cluster.yaml"
)
SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
MOST_NODES = 1000  # more is refused by Slurm's own default limits


@dataclass(frozen=True)
class ClusterSize:
    """What a cluster is made of: its subnet, the types of its nodes, and the most of each queue."""

    subnet: str
    mpi_type: str
    cheap_type: str
    most_nodes: int


def check_size(size: ClusterSize, book: PlatformBook) -> None:
    """Refuse what the region does not sell, or what cannot work.

    Raises:
        UserError: a type is not sold here or has no EFA, the architectures differ, the subnet is
            none, or the number of nodes is out of range.

    """
    if not SUBNET.fullmatch(size.subnet):
        raise UserError(f"--subnet is {size.subnet!r}; give a subnet's id, as subnet-0a1b2c3d.")
    if not 1 <= size.most_nodes <= MOST_NODES:
        raise UserError(f"--most-nodes is {size.most_nodes}; give 1 to {MOST_NODES}.")
    for option, name, sold in (
        ("--mpi-type", size.mpi_type, book.hpc_types),
        ("--cheap-type", size.cheap_type, (*book.ray_types, *book.hpc_types)),
    ):
        if name not in sold:
            what = "with EFA " if option == "--mpi-type" else ""
            raise UserError(
                f"{option} is {name!r}, which is not sold {what}in {book.stamp.region}; "
                f"there are: {', '.join(sold)}."
            )
    mpi, cheap = book.instance(size.mpi_type), book.instance(size.cheap_type)
    if cheap.arch != mpi.arch:
        raise UserError(
            f"--cheap-type {size.cheap_type} is {cheap.arch} and --mpi-type "
            f"{size.mpi_type} is {mpi.arch}; all nodes of a cluster have one architecture."
        )


def head_type(size: ClusterSize, book: PlatformBook) -> str:
    """Return the head node's type: the book's, or its like of the MPI nodes' architecture."""
    asked = book.instance(book.hpc_head_type)
    for name in (asked.name, *book.ray_types):
        kind = book.instance(name)
        same_size = (kind.vcpu, kind.memory_gib) == (asked.vcpu, asked.memory_gib)
        if same_size and kind.arch == book.instance(size.mpi_type).arch:
            return name
    raise UserError(
        f"The book {book.stamp.name} has no like of {asked.name}, its head node, for the "
        f"architecture of {size.mpi_type}; choose another --mpi-type."
    )


def cluster_config(
    size: ClusterSize,
    book: PlatformBook,
    outputs: Mapping[str, str],
    stack: str,
    script: str,
    checksum: str,
) -> dict[str, Any]:
    """Return the configuration as ParallelCluster reads it.

    `outputs` are those of the main stack, `script` the address in S3 of the program that sets up
    the head node, and `checksum` the SHA-256 of the archive that lies beside it.
    """
    config: dict[str, Any] = yaml.safe_load(BASE.read_text())
    mpi, bucket = book.instance(size.mpi_type), outputs["Bucket"]
    config["Region"] = book.stamp.region
    head = config["HeadNode"]
    head["InstanceType"] = head_type(size, book)
    disk_gb, file_system_gb = int(book.value("node_disk_gb")), int(book.value("fsx_gb"))
    head["LocalStorage"]["RootVolume"]["Size"] = disk_gb
    head["Networking"]["SubnetId"] = size.subnet
    jobs = {"Policy": outputs["ClusterJobsPolicyArn"]}
    agent, sessions = {"Policy": outputs["HpcAgentPolicyArn"]}, {"Policy": SESSIONS_POLICY}
    head["Iam"]["AdditionalIamPolicies"] = [jobs, agent, sessions]
    head["Iam"]["S3Access"] = [{"BucketName": bucket, "KeyName": "cluster/*"}]
    head["CustomActions"]["OnNodeConfigured"] = {
        "Script": script,
        "Args": [
            script.rsplit("/", 1)[0],
            checksum,
            bucket,
            outputs["Ledger"],
            outputs["HpcQueueUrl"],
            size.mpi_type,
            str(mpi.vcpu),
            head["InstanceType"],
            str(disk_gb),
            str(disk_gb),
            str(file_system_gb),
        ],
    }
    for queue, kind in zip(
        config["Scheduling"]["SlurmQueues"], (size.mpi_type, size.cheap_type), strict=True
    ):
        queue["Iam"]["AdditionalIamPolicies"] = [jobs]
        queue["Networking"]["SubnetIds"] = [size.subnet]
        queue["ComputeSettings"]["LocalStorage"]["RootVolume"]["Size"] = disk_gb
        resource = queue["ComputeResources"][0]
        resource["Instances"], resource["MaxCount"] = [{"InstanceType": kind}], size.most_nodes
    lustre = config["SharedStorage"][0]["FsxLustreSettings"]
    lustre["StorageCapacity"] = file_system_gb
    lustre["DataRepositoryAssociations"][0]["DataRepositoryPath"] = f"s3://{bucket}/raw/"
    config["Tags"] = [{"Key": "trivium:stack", "Value": stack}]
    return config


def cluster_stack(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a CloudFormation template that makes the same cluster without the pcluster command.

    AWS hosts the provider of the custom resource; it may attach policies of ours to nodes only if
    it is given the right to. The stack's name must be another than the cluster's.
    """
    nodes = [config["HeadNode"], *config["Scheduling"]["SlurmQueues"]]
    policies = {each["Policy"] for node in nodes for each in node["Iam"]["AdditionalIamPolicies"]}
    attach = {
        "Effect": "Allow",
        "Action": ["iam:AttachRolePolicy", "iam:DetachRolePolicy"],
        "Resource": {
            "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/parallelcluster/*"
        },
        "Condition": {"ArnEquals": {"iam:PolicyARN": sorted(policies)}},
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "An MPI cluster under AWS ParallelCluster for a stack of Trivium",
        "Resources": {
            "AttachPolicies": {
                "Type": "AWS::IAM::ManagedPolicy",
                "Properties": {
                    "Description": "Lets ParallelCluster's provider give nodes what they need",
                    "PolicyDocument": {"Version": "2012-10-17", "Statement": [attach]},
                },
            },
            "Provider": {
                "Type": "AWS::CloudFormation::Stack",
                "Properties": {
                    "Parameters": {"AdditionalIamPolicies": {"Ref": "AttachPolicies"}},
                    "TemplateURL": {"Fn::Sub": PROVIDER},
                },
            },
            "Cluster": {
                "Type": "Custom::PclusterCluster",
                "Properties": {
                    "ServiceToken": {"Fn::GetAtt": ["Provider", "Outputs.ServiceToken"]},
                    "ClusterName": name,
                    "ClusterConfiguration": config,
                },
            },
        },
    }
