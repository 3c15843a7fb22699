"""A map step on an MPI cluster: every rank runs its share of the batches.

`mpirun -n R python -m hpc.run_map PART_KEY`. Batch i goes to rank i modulo R. The ranks do not
speak to one another, so a rank that fails has to stop the others: they would go on to their end.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

from mpi4py import MPI

from placement.errors import UserError
from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s
from runtime.requests import Aws
from runtime.settings import from_environment
from runtime.store import Store


def main(part_key: str) -> None:
    """Run this rank's batches."""
    rank, ranks = MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()
    settings = from_environment()
    aws = Aws()
    store = Store(aws, settings.bucket)
    description = store.get_json(part_key)
    part = Part.from_json(description)
    for item in store.get_json(description["batches_key"])[rank::ranks]:
        batch = Batch.from_json(item)
        job = os.environ.get("SLURM_JOB_ID", str(os.getppid()))
        call = Call(f"{job}-{rank}", f"rank {rank}", now_s(), 0.0)
        run_batch(aws, store, part, batch, call, retried=True)


def stop_all_ranks(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say what was raised, a user's error in its one line, and end every rank."""
    if issubclass(kind, UserError):
        sys.stderr.write(f"UserError: {error}\n")
    else:
        traceback.print_exception(kind, error, trace)
    sys.stderr.flush()
    MPI.COMM_WORLD.Abort(1)


if __name__ == "__main__":
    sys.excepthook = stop_all_ranks
    main(sys.argv[1])
