from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi4py import MPI
from scipy.sparse.linalg import eigsh

from workflows.read_clustering.spectral.eigen import State, lowest_eigenpairs
from workflows.read_clustering.spectral.graph import Edges, components
from workflows.read_clustering.spectral.parallel import Rows, split_rows

COMM = MPI.COMM_SELF


def _edges(weights: Any) -> Any:
    row, column = np.nonzero(weights)
    return Edges(row.astype(np.int64), column.astype(np.int64), weights[row, column])


def _connected_graph(size: Any, seed: Any) -> Any:
    """Return a ring with random chords, as a dense symmetric matrix."""
    random = np.random.default_rng(seed)
    weights = np.zeros((size, size))
    ring = np.arange(size)
    weights[ring, (ring + 1) % size] = random.random(size) + 0.1
    for _ in range(size):
        a, b = random.integers(size, size=2)
        weights[a, b] += (a != b) * random.random()
    return weights + weights.T


def _dense_laplacian(weights: Any) -> Any:
    roots = np.sqrt(weights.sum(axis=1))
    return np.eye(len(weights)) - weights / np.outer(roots, roots)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(4, 120), seed=st.integers(0, 1000), count=st.integers(2, 12))
def test_eigenpairs_are_those_of_the_dense_laplacian(size: Any, seed: Any, count: Any) -> None:
    weights = _connected_graph(size, seed)
    pairs = lowest_eigenpairs(COMM, Rows((0, size)), _edges(weights), count)
    laplacian = _dense_laplacian(weights)
    expected = np.linalg.eigvalsh(laplacian)[: min(count, size)]
    assert np.allclose(pairs.values, expected, atol=1e-9)
    residues = laplacian @ pairs.vectors - pairs.vectors * pairs.values
    assert np.abs(residues).max() < 1e-7
    gram = pairs.vectors.T @ pairs.vectors
    assert np.allclose(gram, np.eye(len(gram)), atol=1e-9)


def test_eigenvalues_of_a_large_sparse_graph_are_those_of_arpack() -> None:
    size = 1500
    weights = _connected_graph(size, 3)
    edges = _edges(weights)
    rows = split_rows(edges.degrees(0, size), 1)
    pairs = lowest_eigenpairs(COMM, rows, edges, 8)
    similar = np.eye(size) - _dense_laplacian(weights)
    arpack = 1 - np.sort(eigsh(similar, 8, which="LA", tol=1e-12)[0])[::-1]
    assert pairs.restarts > 0
    assert np.allclose(pairs.values, arpack, atol=1e-8)


def test_repeated_eigenvalues_are_found_as_often_as_they_occur() -> None:
    size = 60
    ring = np.arange(size)
    weights = np.zeros((size, size))
    weights[ring, (ring + 1) % size] = weights[(ring + 1) % size, ring] = 1.0
    pairs = lowest_eigenpairs(COMM, Rows((0, size)), _edges(weights), 7)
    waves = [0, 1, 1, 2, 2, 3, 3]
    assert np.allclose(pairs.values, 1 - np.cos(2 * np.pi * np.array(waves) / size), atol=1e-9)


def test_a_saved_state_leads_to_the_same_numbers_as_an_undisturbed_run() -> None:
    size = 800
    edges = _edges(_connected_graph(size, 5))
    rows = Rows((0, size))
    states: list[State] = []
    whole = lowest_eigenpairs(COMM, rows, edges, 6, save=states.append)
    resumed = lowest_eigenpairs(COMM, rows, edges, 6, state=states[len(states) // 2])
    assert len(states) == whole.restarts == resumed.restarts
    assert np.array_equal(whole.values, resumed.values)
    assert np.array_equal(whole.vectors, resumed.vectors)


def test_a_process_that_does_not_converge_says_so(monkeypatch: Any) -> None:
    monkeypatch.setattr("workflows.read_clustering.spectral.eigen.MAX_RESTARTS", 0)
    edges = _edges(_connected_graph(800, 5))
    with pytest.raises(ArithmeticError, match="did not converge"):
        lowest_eigenpairs(COMM, Rows((0, 800)), edges, 6)


@given(size=st.integers(0, 40), pairs=st.lists(st.tuples(st.integers(0, 39), st.integers(0, 39))))
def test_components_are_named_after_their_smallest_row(size: Any, pairs: Any) -> None:
    links = [(a, b) for a, b in pairs if a < size and b < size and a != b]
    both = sorted({*links, *((b, a) for a, b in links)})
    row, column = (np.array([p[i] for p in both], np.int64) for i in (0, 1))
    found = components(COMM, size, Edges(row, column, np.ones(len(both))))
    expected = list(range(size))
    for _ in range(size):
        for a, b in links:
            expected[a] = expected[b] = min(expected[a], expected[b])
    assert found.tolist() == expected
