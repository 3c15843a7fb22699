"""The lowest eigenvectors of a normalised graph Laplacian, by a thick-restart Lanczos method.

K. Wu and H. Simon, Thick-restart Lanczos method for large symmetric eigenvalue problems, SIAM J.
Matrix Anal. Appl. 22 (2000), doi:10.1137/S0895479898334605. Works on S = D^-1/2 W D^-1/2, whose
highest eigenvectors are the lowest of L = I - S. Of a connected graph the one with eigenvalue 0
is known, D^1/2 1; all others are kept orthogonal to it from the start, as they are to each other
by Gram-Schmidt at every step.

One step takes a product with S and about 4 m n operations for a basis of m vectors of n rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from workflows.read_clustering.spectral.graph import Edges, Operator
from workflows.read_clustering.spectral.parallel import (
    BLOCK_ROWS,
    Floats,
    Rows,
    block_products,
    gather_rows,
    ordered_sum,
)

TOLERANCE = 1e-8
MAX_RESTARTS = 500
BREAKDOWN = 1e-12
SEED = 20240229


@dataclass(frozen=True)
class Eigenpairs:
    """Ascending eigenvalues of L, the known 0 first; one rank's rows of the eigenvectors."""

    values: Floats
    vectors: Floats
    restarts: int


@dataclass(frozen=True)
class State:
    """A Lanczos process after `restarts` restarts.

    basis is (1 + kept + 1) x rows: the known eigenvector, the kept approximate ones with their
    values, and the vector to go on with.
    """

    basis: Floats
    values: Floats
    restarts: int


Save = Callable[[State], None]


class NormalisedAdjacency:
    """S = D^-1/2 W D^-1/2 of a connected graph, and its known eigenvector."""

    def __init__(self, comm: MPI.Comm, rows: Rows, edges: Edges) -> None:
        first, last = rows.span(comm.rank)
        strengths = edges.strengths(first, last)
        self._roots = np.sqrt(strengths)
        self._weights = Operator(comm, rows, edges)
        self.known = self._roots / np.sqrt(ordered_sum(comm, rows, _blocks(self._roots)))[0, 0]

    def times(self, vector: Floats) -> Floats:
        """Return this rank's rows of S times a vector, of which it gives its rows."""
        return self._weights.times(vector / self._roots) / self._roots


def lowest_eigenpairs(
    comm: MPI.Comm,
    rows: Rows,
    edges: Edges,
    count: int,
    state: State | None = None,
    save: Save = lambda _: None,
) -> Eigenpairs:
    """Return the `count` lowest eigenpairs of the graph's normalised Laplacian.

    The graph is connected and has more than `count` rows. Eigenvalues are accurate to rounding,
    vectors have residuals below 1e-8. `save` is called with every restart's state, from which the
    process goes on if it is given as `state`.

    Raises:
        ArithmeticError: no convergence within 500 restarts.

    """
    matrix = NormalisedAdjacency(comm, rows, edges)
    wanted = min(count, rows.total) - 1
    size = min(3 * wanted + 20, rows.total - 1)
    state = state or _first_state(comm, rows, matrix)
    # One memory for all restarts: to get new pages costs as much as many steps.
    basis = np.empty((size + 2, state.basis.shape[1]))
    basis[: len(state.basis)] = state.basis
    ritz, restarts = state.values, state.restarts
    while restarts <= MAX_RESTARTS:
        projected, residue = _extend(comm, rows, matrix, basis, ritz)
        values, vectors = np.linalg.eigh(projected)
        values, vectors = values[::-1], vectors[:, ::-1]
        if np.all(np.abs(residue * vectors[-1, :wanted]) < TOLERANCE):
            _rotate(basis[1:-1], vectors[:, :wanted])
            return Eigenpairs(
                np.concatenate((np.zeros(1), 1.0 - values[:wanted])),
                basis[: 1 + wanted].T,
                restarts,
            )
        kept = wanted + (size - wanted) // 2
        _rotate(basis[1:-1], vectors[:, :kept])
        basis[kept + 1] = basis[-1]
        ritz, restarts = values[:kept], restarts + 1
        save(State(basis[: kept + 2].copy(), ritz, restarts))
    raise ArithmeticError(f"the eigensolver did not converge in {MAX_RESTARTS} restarts")


def gather_state(comm: MPI.Comm, state: State) -> State:
    """Return the state with the basis of all ranks' rows, on every rank."""
    whole = gather_rows(comm, np.ascontiguousarray(state.basis.T)).T
    return State(whole, state.values, state.restarts)


def scatter_state(comm: MPI.Comm, rows: Rows, state: State) -> State:
    """Return the part of a whole state that belongs to this rank's rows."""
    first, last = rows.span(comm.rank)
    return State(np.ascontiguousarray(state.basis[:, first:last]), state.values, state.restarts)


def _first_state(comm: MPI.Comm, rows: Rows, matrix: NormalisedAdjacency) -> State:
    start = _random_vector(comm, rows, 0)
    basis = matrix.known[None, :]
    start, _ = _orthogonalised(comm, rows, basis, start, 0)
    return State(np.concatenate((basis, start[None, :] / _norm(comm, rows, start))), np.zeros(0), 0)


def _rotate(basis: Floats, vectors: Floats) -> None:
    """Replace the first rows of the basis by vectors^T basis, as many as there are vectors.

    A block of columns at a time, so that it needs no other memory than the processor's cache.
    """
    for start in range(0, basis.shape[1], BLOCK_ROWS):
        block = basis[:, start : start + BLOCK_ROWS]
        block[: vectors.shape[1]] = vectors.T @ block


def _extend(
    comm: MPI.Comm, rows: Rows, matrix: NormalisedAdjacency, basis: Floats, ritz: Floats
) -> tuple[Floats, float]:
    """Fill the basis step by step; return V^T S V and the length of what is left.

    It holds the known vector, those of the Ritz values kept, and the one to go on with.
    """
    kept, size = len(ritz), len(basis) - 2
    projected = np.zeros((size, size))
    projected[np.arange(kept), np.arange(kept)] = ritz
    residue = 0.0
    for step in range(kept, size):
        product = matrix.times(basis[step + 1])
        # Right after a restart all vectors couple with the new one, later the last two do.
        coupled = 0 if step == kept else step
        product, along = _orthogonalised(comm, rows, basis[: step + 2], product, coupled)
        projected[: step + 1, step] = projected[step, : step + 1] = along[1:]
        residue = _norm(comm, rows, product)
        if residue < BREAKDOWN:
            # The space is invariant: any new direction goes on, without a link to the old ones.
            residue = 0.0
            product, _ = _orthogonalised(
                comm, rows, basis[: step + 2], _random_vector(comm, rows, step + 1), 0
            )
            remaining = _norm(comm, rows, product)
            product = product if remaining < BREAKDOWN else product / remaining
        else:
            product = product / residue
        basis[step + 2] = product
    return projected, residue


def _orthogonalised(
    comm: MPI.Comm, rows: Rows, basis: Floats, vector: Floats, coupled: int
) -> tuple[Floats, Floats]:
    """Return the part of the vector that is orthogonal to the basis, and its coefficients.

    The vectors from `coupled` on, along which it is long, are taken off first; what rounding
    leaves along all of them goes in a second pass.
    """
    along = np.zeros(len(basis))
    for first in (coupled, 0):
        part = ordered_sum(comm, rows, block_products(basis[first:], vector[None, :]))[:, 0]
        vector = vector - part @ basis[first:]
        along[first:] += part
    return vector, along


def _norm(comm: MPI.Comm, rows: Rows, vector: Floats) -> float:
    return float(np.sqrt(ordered_sum(comm, rows, _blocks(vector))[0, 0]))


def _blocks(vector: Floats) -> Floats:
    return block_products(vector[None, :], vector[None, :])


def _random_vector(comm: MPI.Comm, rows: Rows, number: int) -> Floats:
    """Return this rank's rows of a vector that is the same however the rows are shared out."""
    first, last = rows.span(comm.rank)
    whole = np.random.default_rng((SEED, number)).standard_normal(rows.total)
    return whole[first:last]
