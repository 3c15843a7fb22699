"""A small MPI program that adds up its ranks, or fails in the way that it is asked to."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from mpi4py import MPI

from tests.integration.programs.tasks import pass_gate


def main(words: list[str]) -> None:
    """Add up the ranks and the input's bytes; or fail in the way that `mode` says."""
    parser = argparse.ArgumentParser()
    for name in ("--inputs", "--output", "--checkpoint"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--parameter", action="append", default=[])
    options = parser.parse_args(words)
    parameters = dict(word.split("=", 1) for word in options.parameter)
    comm = MPI.COMM_WORLD
    mode = parameters.get("mode", "add")
    sys.stderr.write(f"rank {comm.rank} in mode {mode}\n")
    if mode == "refuse" and comm.rank == 0:
        sys.stderr.write("UserError: in.txt: has no reads; upload it again.\n")
        sys.stderr.flush()
        comm.Abort(1)
    if mode == "crash" and comm.rank == comm.size - 1:
        raise ZeroDivisionError("the last rank divided by nothing")
    if mode == "gated":
        pass_gate(Path(parameters["gate"]), f"rank{comm.rank}")
    if mode == "resume" and comm.rank == 0 and not options.checkpoint.exists():
        options.checkpoint.mkdir()
        (options.checkpoint / "half").write_text("way")
        comm.Abort(3)
    if mode == "hungry" and comm.rank == comm.size - 1:
        take(int(parameters["megabytes"]), Path(parameters["gate"]))
    size = sum(path.stat().st_size for path in options.inputs.iterdir())
    result = {
        "ranks": comm.size,
        "sum": comm.allreduce(comm.rank, MPI.SUM),
        "bytes": size,
        "resumed": options.checkpoint.exists(),
        "nodes": sorted(set(comm.allgather(os.environ.get("SLURMD_NODENAME", "")))),
    }
    if comm.rank == 0:
        (options.output / "result.json").write_text(json.dumps(result))
        (options.output / "words.txt").write_text("done\n")


def take(megabytes: int, gate: Path) -> None:
    """Touch so much memory, and hold it until the gate is open."""
    held = bytearray(megabytes << 20)
    held[::4096] = b"x" * len(held[::4096])
    pass_gate(gate, "hungry")


if __name__ == "__main__":
    main(sys.argv[1:])
