"""What an MPI job is told by its environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def job_environment(instance_type: str, ranks: int, scratch: Path, launcher: str) -> dict[str, str]:
    """Return the environment of a job's wrapper.

    One thread per rank: ranks share the node's cores, and BLAS would take all of them for each.
    """
    root = str(Path(__file__).parent.parent)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return os.environ | {
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
