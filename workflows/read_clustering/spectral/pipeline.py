"""From sketches to labels: the stages of the clustering, each over all ranks.

1. Overlap graph and its connected components.
2. Components that are whole sequences are clusters as they are: coverage was deep enough to join
   all reads of each, and a spectral cut would only break a long genome's path-like graph.
3. The rest, pieces of genomes that coverage left apart, gets the combined graph: overlaps scaled
   by their median degree plus 0.2 times a 20-nearest-neighbour graph of composition scaled alike.
4. Each connected component of it that is large enough is partitioned by the lowest eigenvectors
   of its normalised Laplacian; a small one stays the overlap components that it is made of.
"""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from placement.errors import UserError
from workflows.read_clustering.spectral.checkpoint import Checkpoint
from workflows.read_clustering.spectral.composition import (
    compositions,
    coordinates,
    neighbour_edges,
)
from workflows.read_clustering.spectral.coverage import whole_components
from workflows.read_clustering.spectral.discriminant import refined_labels
from workflows.read_clustering.spectral.eigen import (
    State,
    gather_state,
    lowest_eigenpairs,
    scatter_state,
)
from workflows.read_clustering.spectral.graph import (
    Edges,
    components,
    gather_edges,
    select_rows,
)
from workflows.read_clustering.spectral.neighbourhoods import neighbourhoods, within
from workflows.read_clustering.spectral.overlaps import overlap_edges
from workflows.read_clustering.spectral.parallel import (
    Ints,
    Rows,
    exchange,
    gather_rows,
    place_rows,
    split_rows,
)
from workflows.read_clustering.spectral.partition import Limits, best_partition
from workflows.read_clustering.spectral.sketches import (
    TETRAMERS,
    Fragments,
    read_fragments,
)

EDGE_COLUMNS = ("row", "column", "weight")

log = logging.getLogger("spectral")


@dataclass(frozen=True)
class Parameters:
    """The setting of the clustering; one for all data.

    min_shared            hashes that two fragments share to overlap
    reach                 fragments that each one is paired with for one hash
    neighbours            nearest neighbours in composition
    composition_weight    weight of the neighbour graph beside the overlaps
    max_clusters          eigenvectors, and clusters, that a component is cut into at most
    max_near_leaving      share of a cluster's neighbour edges that may leave it
    max_overlaps_leaving  share of a cluster's overlaps that may leave it
    min_fragments         fragments of a component from which on it is cut
    """

    min_shared: int = 3
    reach: int = 32
    neighbours: int = 20
    composition_weight: float = 0.2
    max_clusters: int = 12
    max_near_leaving: float = 0.1
    max_overlaps_leaving: float = 0.006
    min_fragments: int = 500

    @classmethod
    def from_words(cls, words: list[str]) -> Self:
        """Return the defaults with NAME=VALUE words in place.

        Raises:
            UserError: a name is unknown or a value is no positive number.

        """
        kinds = {name: type(value) for name, value in asdict(cls()).items()}
        found = {}
        for word in words:
            name, _, value = word.partition("=")
            if name not in kinds:
                raise UserError(f"unknown parameter {name}; known are {', '.join(kinds)}")
            try:
                found[name] = kinds[name](value)
            except ValueError as error:
                raise UserError(f"parameter {name} is {value!r}, not a number") from error
            if not found[name] > 0:
                raise UserError(f"parameter {name} is {value}; give more than 0")
        return replace(cls(), **found)


@dataclass(frozen=True)
class Solved:
    """One component that was partitioned: its lowest eigenvalues and the chosen partition."""

    fragments: int
    eigenvalues: list[float]
    clusters: int


@dataclass(frozen=True)
class Clustering:
    """The labels of all fragments, and what was met on the way."""

    labels: Ints
    components: Ints
    edges: int
    neighbour_edges: int
    overlap_components: int
    whole_components: int
    solved: tuple[Solved, ...]
    resumed: bool


@dataclass(frozen=True)
class Graphs:
    """The overlap components of all fragments, and the two graphs of those in pieces.

    pool lists the fragments in pieces; the rows of overlaps, near and composition are numbered in
    this order.
    """

    component: Ints
    whole: NDArray[np.bool_]
    overlap_count: int
    pool: Ints
    rows: Rows
    overlaps: Edges
    near: Edges
    composition: NDArray[np.float32]


def cluster_fragments(
    comm: MPI.Comm, paths: list[Path], parameters: Parameters, checkpoint: Checkpoint
) -> Clustering:
    """Cluster the fragments of the sketch shards, going on from the checkpoint if there is one."""
    graphs = _load_graphs(comm, checkpoint)
    resumed = graphs is not None
    if graphs is None:
        graphs = _build_graphs(comm, read_fragments(comm, paths), parameters)
        _save_graphs(comm, checkpoint, graphs)
    labels = graphs.component.copy()
    group = graphs.component.copy()
    combined = combined_graph(
        comm, graphs.rows, graphs.overlaps, graphs.near, parameters.composition_weight
    )
    joined = components(comm, len(graphs.pool), combined)
    group[graphs.pool] = graphs.pool[joined]
    solved = []
    for first, size in zip(*np.unique(joined, return_counts=True), strict=True):
        if size < parameters.min_fragments:
            continue
        members = np.flatnonzero(joined == first)
        partition, found = _solve(comm, graphs, combined, members, parameters, checkpoint)
        # Labels stay apart from those of other components: each is a fragment of its own cluster.
        representative = members[np.unique(partition, return_index=True)[1]]
        labels[graphs.pool[members]] = graphs.pool[representative][partition]
        solved.append(found)
        log.info("component of %d fragments: %d clusters", found.fragments, found.clusters)
    return Clustering(
        labels=labels,
        components=group,
        edges=graphs.overlap_count,
        neighbour_edges=comm.allreduce(len(graphs.near.row)) // 2,
        overlap_components=len(np.unique(graphs.component)),
        whole_components=len(np.unique(graphs.component[graphs.whole])),
        solved=tuple(solved),
        resumed=resumed,
    )


def _build_graphs(comm: MPI.Comm, fragments: Fragments, parameters: Parameters) -> Graphs:
    rows = split_rows(np.ones(fragments.total, np.int64), comm.size)
    overlaps = overlap_edges(comm, rows, fragments, parameters.min_shared, parameters.reach)
    component = components(comm, fragments.total, overlaps)
    degree = gather_rows(comm, overlaps.degrees(*rows.span(comm.rank)))
    whole = whole_components(component, degree)
    log.info("%d fragments, %d overlaps", fragments.total, degree.sum() // 2)
    # Fragments of one component stand together, so that most edges stay on one rank.
    pool = np.lexsort((np.arange(fragments.total), component))
    pool = pool[~whole[pool]]
    index = np.full(fragments.total, -1)
    index[pool] = np.arange(len(pool))
    pool_rows = split_rows(degree[pool] + parameters.neighbours, comm.size)
    pieces = select_rows(comm, pool_rows, overlaps, index)
    tetra = place_rows(comm, pool_rows, index[fragments.rows], fragments.tetra)
    # The pool is in the order of components, so each starts at the first row that names it.
    new = np.flatnonzero(np.diff(component[pool], prepend=-1))
    first_row = np.repeat(new, np.diff(np.append(new, len(pool))))
    patch = neighbourhoods(comm, pool_rows, pieces, first_row)
    composition = compositions(comm, pool_rows, within(pieces, patch), tetra)
    log.info("%d fragments in pieces", len(pool))
    near = neighbour_edges(
        comm, pool_rows, coordinates(comm, pool_rows, composition), patch, parameters.neighbours
    )
    log.info("neighbours found")
    return Graphs(
        component, whole, int(degree.sum()) // 2, pool, pool_rows, pieces, near, composition
    )


def combined_graph(
    comm: MPI.Comm, rows: Rows, overlaps: Edges, near: Edges, weight: float
) -> Edges:
    """Return overlaps and `weight` times the neighbour graph, each scaled by its median degree."""
    scaled = [
        edges.weight * (factor / _median_strength(comm, rows, edges))
        for edges, factor in ((overlaps, 1.0), (near, weight))
    ]
    return gather_edges(
        comm,
        rows,
        np.concatenate((overlaps.row, near.row)),
        np.concatenate((overlaps.column, near.column)),
        np.concatenate(scaled),
    )


def _median_strength(comm: MPI.Comm, rows: Rows, edges: Edges) -> float:
    strengths = gather_rows(comm, edges.strengths(*rows.span(comm.rank)))
    return float(np.median(strengths[strengths > 0])) if np.any(strengths > 0) else 1.0


def _solve(
    comm: MPI.Comm,
    graphs: Graphs,
    combined: Edges,
    members: Ints,
    parameters: Parameters,
    checkpoint: Checkpoint,
) -> tuple[Ints, Solved]:
    """Return the partition of one component of the combined graph: labels of its `members`."""
    index = np.full(len(graphs.pool), -1)
    index[members] = np.arange(len(members))
    degree = gather_rows(comm, combined.degrees(*graphs.rows.span(comm.rank)))
    rows = split_rows(degree[members], comm.size)
    edges = select_rows(comm, rows, combined, index)
    name = f"lanczos-{members[0]}"
    kept = checkpoint.load(name)
    pairs = lowest_eigenpairs(
        comm,
        rows,
        edges,
        parameters.max_clusters,
        None if kept is None else _scattered(comm, rows, kept),
        _Saver(comm, checkpoint, name),
    )
    log.info("%d restarts, eigenvalues %s", pairs.restarts, np.round(pairs.values, 6).tolist())
    del edges
    near, overlaps = (
        select_rows(comm, rows, part, index) for part in (graphs.near, graphs.overlaps)
    )
    limits = Limits(parameters.max_near_leaving, parameters.max_overlaps_leaving)
    best = best_partition(comm, pairs.vectors, near, overlaps, limits)
    position = index[np.arange(*graphs.rows.span(comm.rank))]
    labels = refined_labels(
        comm, rows, place_rows(comm, rows, position, graphs.composition), best.labels
    )
    return labels, Solved(len(members), pairs.values.tolist(), len(np.unique(labels)))


def _scattered(comm: MPI.Comm, rows: Rows, kept: dict[str, NDArray[np.float64]]) -> State:
    whole = State(kept["basis"], kept["values"], int(kept["restarts"])) if kept else None
    whole = comm.bcast(whole, root=0)
    return scatter_state(comm, rows, whole)


class _Saver:
    """Keeps the state of a Lanczos process whenever that is due."""

    def __init__(self, comm: MPI.Comm, checkpoint: Checkpoint, name: str) -> None:
        self._comm, self._checkpoint, self._name = comm, checkpoint, name

    def __call__(self, state: State) -> None:
        if not self._checkpoint.due(self._comm.allreduce(state.basis.nbytes)):
            return
        whole = gather_state(self._comm, state)
        restarts = np.array(whole.restarts)
        self._checkpoint.save(
            self._name, {"basis": whole.basis, "values": whole.values, "restarts": restarts}
        )


def _save_graphs(comm: MPI.Comm, checkpoint: Checkpoint, graphs: Graphs) -> None:
    columns = {
        f"{name}_{field}": gather_rows(comm, getattr(edges, field))
        for name, edges in (("overlaps", graphs.overlaps), ("near", graphs.near))
        for field in EDGE_COLUMNS
    }
    checkpoint.save(
        "graphs",
        {
            "component": graphs.component,
            "whole": graphs.whole,
            "overlap_count": np.array(graphs.overlap_count),
            "pool": graphs.pool,
            "composition": gather_rows(comm, graphs.composition),
            **columns,
        },
    )


def _load_graphs(comm: MPI.Comm, checkpoint: Checkpoint) -> Graphs | None:
    kept = checkpoint.load("graphs")
    if kept is None:
        return None
    small = comm.bcast(
        {name: kept[name] for name in ("component", "whole", "overlap_count", "pool")}
        if kept
        else None,
        root=0,
    )
    total = len(small["pool"])
    degree = comm.bcast(np.bincount(kept["near_row"], minlength=total) if kept else None, root=0)
    rows = split_rows(degree, comm.size)

    def edges(name: str) -> Edges:
        row, column, weight = (
            kept.get(f"{name}_{field}", np.zeros(0, np.dtype(kind)))
            for field, kind in zip(EDGE_COLUMNS, ("i8", "i8", "f8"), strict=True)
        )
        return Edges(*exchange(comm, rows.owners(row), row, column, weight))

    composition = kept.get("composition", np.zeros((0, TETRAMERS), np.float32))
    return Graphs(
        component=small["component"],
        whole=small["whole"],
        overlap_count=int(small["overlap_count"]),
        pool=small["pool"],
        rows=rows,
        overlaps=edges("overlaps"),
        near=edges("near"),
        composition=place_rows(comm, rows, np.arange(len(composition)), composition),
    )
