"""`trivium cluster`: writes what AWS ParallelCluster needs to stand up an MPI cluster."""

from __future__ import annotations

import gzip
import hashlib
import io
import shlex
import sys
import tarfile
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from hpc.cluster_config import ClusterSize, check_size, cluster_config, cluster_stack
from placement.books import default_books
from placement.errors import UserError
from trivium.console import say
from trivium.target import Target

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "hpc" / "install_agent.sh"
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

app = typer.Typer(no_args_is_help=True, help="Writes what an MPI cluster is stood up from.")


@app.callback()
def _cluster() -> None:
    """Keep `render` a sub-command while it is the only one."""


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(help="Where to write; a new folder.")],
    subnet: Annotated[str, typer.Option(help="The subnet of all nodes.")],
    stack: Annotated[str, typer.Option(help="The stack on AWS.")] = "trivium",
    mpi_type: Annotated[str, typer.Option(help="Nodes with EFA.")] = "hpc7g.16xlarge",
    cheap_type: Annotated[str, typer.Option(help="Nodes of the queue without.")] = "c7g.4xlarge",
    most_nodes: Annotated[int, typer.Option(help="Of each queue.")] = 4,
) -> None:
    """Write a ParallelCluster configuration and what its head node installs."""
    _, book = default_books()
    size = ClusterSize(subnet, mpi_type, cheap_type, most_nodes)
    check_size(size, book)
    if folder.exists():
        raise UserError(f"{folder} exists already; name a new folder.")
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
