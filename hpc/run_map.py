"""A map step on an MPI cluster: every rank runs its share of the batches.

`mpirun -n R python -m mpi4py -m hpc.run_map PART_KEY`. Batch i goes to rank i modulo R; in a job
array, the ranks of all its elements count. The ranks do not speak to one another; one that fails
ends those of its element, as mpi4py runs them.
"""

from __future__ import annotations

import os
import sys

from mpi4py import MPI

from hpc.environment import this_element
from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s
from runtime.requests import Aws
from runtime.settings import from_environment
from runtime.store import Store


def main(part_key: str) -> None:
    """Run this rank's batches."""
    element, ranks = this_element(), MPI.COMM_WORLD.Get_size()
    rank = element.index * ranks + MPI.COMM_WORLD.Get_rank()
    settings = from_environment()
    aws = Aws()
    store = Store(aws, settings.bucket)
    description = store.get_json(part_key)
    part = Part.from_json(description)
    for item in store.get_json(description["batches_key"])[rank :: ranks * element.count]:
        batch = Batch.from_json(item)
        job = os.environ.get("SLURM_JOB_ID", str(os.getppid()))
        call = Call(f"{job}-{rank}", f"rank {rank}", now_s(), 0.0)
        run_batch(aws, store, part, batch, call, retried=True)


if __name__ == "__main__":
    main(sys.argv[1])
