"""Sketch shards as the ranks read them, each its share of the files."""

import itertools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from placement.errors import UserError
from workflows.read_clustering.spectral.parallel import Ints

COLUMNS = ("hash_offsets", "hashes", "tetra")
TETRAMERS = 136


@dataclass(frozen=True)
class Fragments:
    """The fragments of one rank's files: global rows `first` to `first + len(tetra)`."""

    first: int
    total: int
    hash_offsets: Ints
    hashes: NDArray[np.uint64]
    tetra: NDArray[np.uint16]

    @property
    def rows(self) -> Ints:
        """Return the global row of each of these fragments."""
        return np.arange(self.first, self.first + len(self.tetra), dtype=np.int64)


def read_fragments(comm: MPI.Comm, paths: list[Path]) -> Fragments:
    """Read this rank's share of the shards; fragments are numbered in the order of `paths`.

    Raises:
        UserError: a file is no sketch shard, or the shards were not sketched alike.

    """
    bounds = _file_bounds([path.stat().st_size for path in paths], comm.size)
    shards = [_read(path) for path in paths[bounds[comm.rank] : bounds[comm.rank + 1]]]
    kinds = {kind for _, kind in shards}
    if len(set().union(*comm.allgather(kinds))) > 1:
        raise UserError("the sketch shards differ in k or scale; sketch all with one setting")
    columns = [shard for shard, _ in shards]
    counts = comm.allgather(sum(len(shard["tetra"]) for shard in columns))
    widths = [np.diff(shard["hash_offsets"]) for shard in columns]
    return Fragments(
        first=sum(counts[: comm.rank]),
        total=sum(counts),
        hash_offsets=np.cumsum(np.concatenate([np.zeros(1, np.int64), *widths])),
        hashes=np.concatenate([np.zeros(0, np.uint64), *(shard["hashes"] for shard in columns)]),
        tetra=np.concatenate(
            [np.zeros((0, TETRAMERS), np.uint16), *(shard["tetra"] for shard in columns)]
        ),
    )


def read_names(path: Path) -> list[bytes]:
    """Return the fragment ids of one shard, in order."""
    with np.load(path) as shard:
        text = shard["name_bytes"].tobytes()
        offsets = shard["name_offsets"].tolist()
    return [text[start:end] for start, end in itertools.pairwise(offsets)]


def _file_bounds(sizes_bytes: list[int], ranks: int) -> list[int]:
    """Return where each rank's run of files starts, so that ranks read about as much."""
    middles = np.cumsum(sizes_bytes) - np.array(sizes_bytes) / 2
    targets = sum(sizes_bytes) * np.arange(1, ranks) / ranks
    return [0, *np.searchsorted(middles, targets).tolist(), len(sizes_bytes)]


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], tuple[int, float]]:
    try:
        with np.load(path) as shard:
            columns = {name: shard[name] for name in COLUMNS}
            kind = (int(shard["k"]), float(shard["scale"]))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} is not a sketch shard: {error}") from error
    rows = len(columns["tetra"])
    if columns["tetra"].shape != (rows, TETRAMERS) or len(columns["hash_offsets"]) != rows + 1:
        raise UserError(f"{path.name} is not a sketch shard: its columns differ in length")
    return columns, kind
