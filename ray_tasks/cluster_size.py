"""The parameters of `cluster.yaml`, a Ray cluster on EC2, for a stack of Trivium."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from placement.books import PlatformBook
from placement.errors import UserError

SUBNET = re.compile(r"subnet-[0-9a-f]{8,17}")
MOST_NODES = 1000  # Ray is tested by its makers with 2,000 nodes, on larger heads than these
# They run Ray's services and a driver for each job, about 100 MB, and no task. Assumed: 8 GiB do.
HEAD_TYPES = {"x86_64": "m7i.large", "arm64": "m7g.large"}
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"


@dataclass(frozen=True)
class RaySize:
    """What a Ray cluster is made of: its subnet, the type of its workers, the most of them."""

    subnet: str
    worker_type: str
    most_nodes: int
    spot: bool


def check_size(size: RaySize, book: PlatformBook) -> None:
    """Refuse what the region does not sell, or what cannot work.

    Raises:
        UserError: the type is not sold here, the subnet is none, or the number is out of range.

    """
    if not SUBNET.fullmatch(size.subnet):
        raise UserError(f"--subnet is {size.subnet!r}; give a subnet's id, as subnet-0a1b2c3d.")
    if not 1 <= size.most_nodes <= MOST_NODES:
        raise UserError(f"--most-nodes is {size.most_nodes}; give 1 to {MOST_NODES}.")
    if size.worker_type not in book.ray_types:
        raise UserError(
            f"--worker-type is {size.worker_type!r}, which is not sold in {book.stamp.region}; "
            f"there are: {', '.join(book.ray_types)}."
        )


def parameters(
    size: RaySize,
    book: PlatformBook,
    outputs: Mapping[str, str],
    stack: str,
    vpc: str,
    archive_key: str,
    archive_sha256: str,
) -> dict[str, str]:
    """Return the parameters of `cluster.yaml`; `outputs` are those of the main stack."""
    worker = book.instance(size.worker_type)
    return {
        "Stack": stack,
        "Bucket": outputs["Bucket"],
        "Ledger": outputs["Ledger"],
        "QueueUrl": outputs["RayQueueUrl"],
        "JobsPolicyArn": outputs["ClusterJobsPolicyArn"],
        "AgentPolicyArn": outputs["RayAgentPolicyArn"],
        "Vpc": vpc,
        "Subnet": size.subnet,
        "Image": IMAGE.format(worker.arch),
        "HeadType": HEAD_TYPES[worker.arch],
        "WorkerType": worker.name,
        "WorkerCpus": str(worker.vcpu),
        "WorkerDiskGb": str(int(book.value("node_disk_gb"))),
        "MostNodes": str(size.most_nodes),
        "Spot": "true" if size.spot else "false",
        "ArchiveKey": archive_key,
        "ArchiveSha256": archive_sha256,
    }
