"""`trivium cluster`: writes what an MPI cluster or a Ray cluster on AWS is stood up from."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shlex
import sys
import tarfile
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
import yaml
from botocore.exceptions import BotoCoreError, ClientError

import ray_tasks.cluster_size
from hpc.cluster_config import ClusterSize, check_size, cluster_config, cluster_stack
from placement.books import default_books
from placement.errors import UserError
from ray_tasks.cluster_size import RaySize
from trivium.console import say
from trivium.target import Target

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "hpc" / "install_agent.sh"
RAY_TEMPLATE = ROOT / "ray_tasks" / "cluster.yaml"
# What the agent and its jobs import, and what installs it.
PACKED = (
    ".python-version",
    "agents",
    "hpc",
    "placement",
    "ray_tasks",
    "requirements/project.txt",
    "requirements/uv.txt",
    "runtime",
    "workflows",
)

Folder = Annotated[Path, typer.Argument(help="Where to write; a new folder.")]
Subnet = Annotated[str, typer.Option(help="The subnet of all nodes.")]
StackName = Annotated[str, typer.Option("--stack", help="The stack on AWS.")]

app = typer.Typer(no_args_is_help=True, help="Writes what a cluster on AWS is stood up from.")


@app.command()
def render(
    folder: Folder,
    subnet: Subnet,
    stack: StackName = "trivium",
    mpi_type: Annotated[str, typer.Option(help="Nodes with EFA.")] = "hpc7g.16xlarge",
    cheap_type: Annotated[str, typer.Option(help="Nodes of the queue without.")] = "c7g.4xlarge",
    most_nodes: Annotated[int, typer.Option(help="Of each queue.")] = 4,
) -> None:
    """Write a ParallelCluster configuration and what its head node installs."""
    _, book = default_books()
    size = ClusterSize(subnet, mpi_type, cheap_type, most_nodes)
    check_size(size, book)
    _check_new(folder)
    outputs = Target.choose(stack).outputs
    archive = packed(ROOT)
    checksum = hashlib.sha256(archive).hexdigest()
    address = f"s3://{outputs['Bucket']}/cluster/{checksum[:16]}"
    script = f"{address}/{SCRIPT.name}"
    config = cluster_config(size, book, outputs, stack, script, checksum)
    folder.mkdir(parents=True)
    (folder / "trivium.tar.gz").write_bytes(archive)
    (folder / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    for name, content in (
        ("cluster.yaml", config),
        ("cluster-stack.yaml", cluster_stack(config, stack)),
    ):
        (folder / name).write_text(yaml.dump(content, Dumper=Plain, sort_keys=False))
    say(f"wrote {folder}/cluster.yaml, cluster-stack.yaml, {SCRIPT.name} and trivium.tar.gz")
    where = shlex.quote(str(folder))
    sys.stdout.write(
        f"aws s3 cp --recursive --exclude '*.yaml' {where} {address}/\n"
        f"pcluster create-cluster -n {stack} -c {where}/cluster.yaml\n"
    )


@app.command()
def ray(
    folder: Folder,
    subnet: Subnet,
    stack: StackName = "trivium",
    worker_type: Annotated[str, typer.Option(help="Of all workers.")] = "c7i.4xlarge",
    most_nodes: Annotated[int, typer.Option(help="Workers that may be up at once.")] = 4,
    spot: Annotated[bool, typer.Option("--spot", help="Workers are spot instances.")] = False,
) -> None:
    """Write a CloudFormation template of a Ray cluster, and what its nodes install."""
    _, book = default_books()
    size = RaySize(subnet, worker_type, most_nodes, spot)
    ray_tasks.cluster_size.check_size(size, book)
    _check_new(folder)
    outputs = Target.choose(stack).outputs
    archive = packed(ROOT)
    checksum = hashlib.sha256(archive).hexdigest()
    key = f"cluster/{checksum[:16]}/trivium.tar.gz"
    values = ray_tasks.cluster_size.parameters(
        size, book, outputs, stack, _vpc_of(subnet), key, checksum
    )
    folder.mkdir(parents=True)
    (folder / "trivium.tar.gz").write_bytes(archive)
    (folder / RAY_TEMPLATE.name).write_bytes(RAY_TEMPLATE.read_bytes())
    given = [f"{name}={value}" for name, value in values.items()]
    (folder / "parameters.json").write_text(json.dumps(given, indent=2) + "\n")
    say(f"wrote {folder}/cluster.yaml, parameters.json and trivium.tar.gz")
    where = shlex.quote(str(folder))
    sys.stdout.write(
        f"aws s3 cp {where}/trivium.tar.gz s3://{outputs['Bucket']}/{key}\n"
        f"aws cloudformation deploy --stack-name {stack}-ray --template-file {where}/cluster.yaml"
        f" --parameter-overrides file://{where}/parameters.json --capabilities CAPABILITY_IAM"
        f" --tags trivium:stack={stack}\n"
    )


def _check_new(folder: Path) -> None:
    if folder.exists():
        raise UserError(f"{folder} exists already; name a new folder.")


def _vpc_of(subnet: str) -> str:
    try:
        told = boto3.Session().client("ec2").describe_subnets(SubnetIds=[subnet])
    except (BotoCoreError, ClientError) as error:
        raise UserError(f"AWS does not tell of the subnet {subnet}: {error}.") from error
    return str(told["Subnets"][0]["VpcId"])


class Plain(yaml.SafeDumper):
    """Writes what is there twice, twice: CloudFormation reads no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Return that nothing is written as an alias."""
        return True


def packed(root: Path) -> bytes:
    """Return an archive of what nodes need of a checkout; the same files give the same bytes."""
    files = sorted(
        path
        for name in PACKED
        for path in ([root / name] if (root / name).is_file() else (root / name).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in files:
            entry = tarfile.TarInfo(str(path.relative_to(root)))
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o755 if path.suffix == ".sh" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)
