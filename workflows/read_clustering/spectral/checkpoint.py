"""What a killed job had finished, kept so that the next one goes on from there."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from placement.checkpoints import best_interval_s

READ_BYTES = 1 << 22


class Checkpoint:
    """Named sets of arrays in a folder; written by rank 0, whole or not at all.

    Files of other inputs or parameters have another fingerprint in their name and are ignored.
    `mtbf_s` is the mean time between failures of the job.
    """

    def __init__(self, comm: MPI.Comm, folder: Path, fingerprint: str, mtbf_s: float) -> None:
        self._comm, self._folder, self._fingerprint = comm, folder, fingerprint
        self._mtbf_s = mtbf_s
        self._saved_at_s, self._s_per_byte = monotonic(), 0.0
        if comm.rank == 0:
            folder.mkdir(parents=True, exist_ok=True)

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep `arrays`, which only rank 0 needs to have; an older set of the name is replaced."""
        if self._comm.rank != 0:
            return
        begun_s, path = monotonic(), self._path(name)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        unfinished.replace(path)
        self._saved_at_s = monotonic()
        self._s_per_byte = (self._saved_at_s - begun_s) / path.stat().st_size

    def due(self, size_bytes: int) -> bool:
        """Return on every rank whether a set of that size is best saved now.

        What it takes is told from the set before; of the first one it is not known, so it is due.
        """
        due = None
        if self._comm.rank == 0:
            interval_s = best_interval_s(self._s_per_byte * size_bytes, self._mtbf_s)
            due = monotonic() - self._saved_at_s >= interval_s
        return bool(self._comm.bcast(due, root=0))

    def load(self, name: str) -> dict[str, NDArray[Any]] | None:
        """Return the set on rank 0 and an empty one on the others; None everywhere if missing."""
        path = self._path(name)
        if not self._comm.bcast(path.exists() if self._comm.rank == 0 else None, root=0):
            return None
        if self._comm.rank != 0:
            return {}
        with np.load(path) as arrays:
            return {key: arrays[key] for key in arrays.files}

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._fingerprint}-{name}.npz"


def fingerprint(comm: MPI.Comm, paths: list[Path], parameters: Mapping[str, Any]) -> str:
    """Return a short name that follows from the files' contents and the parameters."""
    mine = {index: _digest(paths[index]) for index in range(comm.rank, len(paths), comm.size)}
    digests: dict[int, str] = {}
    for part in comm.allgather(mine):
        digests |= part
    text = json.dumps([[digests[index] for index in sorted(digests)], dict(parameters)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
