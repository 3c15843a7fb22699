"""What an MPI job is told by its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.exit_record import Element


def this_element() -> Element:
    """Return which element of a Slurm job array this process belongs to."""
    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return Element(index, int(os.environ.get("SLURM_ARRAY_TASK_COUNT", "1")))


def job_environment(instance_type: str, ranks: int, scratch: Path, launcher: str) -> dict[str, str]:
    """Return the environment of a job's wrapper.

    One thread per rank: ranks share the node's cores, and BLAS would take all of them for each.
    Open MPI's `btl/ofi` sleeps for a second when it begins, and is for one-sided communication
    only: messages over EFA go through `mtl/ofi` (github.com/open-mpi/ompi/issues/11005).
    """
    root = str(Path(__file__).parent.parent)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"OMPI_MCA_btl": "^ofi", **os.environ} | {
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "TRIVIUM_INSTANCE_TYPE": instance_type,
        "TRIVIUM_RANKS": str(ranks),
        "TRIVIUM_SCRATCH": str(scratch),
        "TRIVIUM_LAUNCHER": launcher,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
