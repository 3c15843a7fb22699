import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI
from sklearn.metrics import adjusted_rand_score

from placement.checkpoints import best_interval_s
from placement.errors import UserError
from workflows.read_clustering.spectral import checkpoint as checkpoint_module
from workflows.read_clustering.spectral.checkpoint import Checkpoint
from workflows.read_clustering.spectral.clusters import numbered_by_size, write_clusters
from workflows.read_clustering.spectral.composition import coordinates, neighbour_edges
from workflows.read_clustering.spectral.coverage import whole_components
from workflows.read_clustering.spectral.discriminant import refined_labels
from workflows.read_clustering.spectral.graph import Edges
from workflows.read_clustering.spectral.kmeans import cluster_directions
from workflows.read_clustering.spectral.neighbourhoods import neighbourhoods
from workflows.read_clustering.spectral.overlaps import overlap_edges
from workflows.read_clustering.spectral.parallel import BLOCK_ROWS, Rows, split_rows
from workflows.read_clustering.spectral.partition import Limits, merged_clusters
from workflows.read_clustering.spectral.pipeline import Parameters
from workflows.read_clustering.spectral.score import adjusted_rand_index, read_truth, scores
from workflows.read_clustering.spectral.sketches import Fragments

COMM = MPI.COMM_SELF
LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


@given(LABELS)
def test_adjusted_rand_index_is_that_of_scikit_learn(pairs: Any) -> None:
    first, second = zip(*pairs, strict=True)
    ours = adjusted_rand_index(first, second)
    assert ours == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)


def test_scores_leave_out_reads_without_known_origin() -> None:
    truth = {"genus": {"a": "x", "b": "x", "c": "y"}}
    assert scores(["a", "b", "c", "unknown"], [0, 0, 1, 1], truth) == {"genus": 1.0}


def test_truth_is_read_by_column_also_when_compressed(tmp_path: Path) -> None:
    path = tmp_path / "s.truth.tsv.gz"
    path.write_bytes(gzip.compress(b"read_id\torigin\tgenus\nr1\tA\tG\nr2\tB\tG\n"))
    both = {"origin": {"r1": "A", "r2": "B"}, "genus": {"r1": "G", "r2": "G"}}
    assert read_truth(path, {"r1", "r2", "r3"}) == both
    assert read_truth(path, {"r2"}) == {"origin": {"r2": "B"}, "genus": {"r2": "G"}}


@pytest.mark.parametrize(
    ("text", "reason"), [("", "header"), ("id\n", "header"), ("id\to\nr1\n", "line 2 has fewer")]
)
def test_a_malformed_truth_is_refused_with_its_line(tmp_path: Path, text: Any, reason: Any) -> None:
    path = tmp_path / "s.truth.tsv"
    path.write_text(text)
    with pytest.raises(UserError, match=reason):
        read_truth(path, {"r1"})


@given(st.lists(st.integers(0, 50), max_size=4000), st.integers(1, 5))
def test_rows_are_shared_out_whole_and_in_order(weights: Any, ranks: Any) -> None:
    rows = split_rows(np.array(weights, np.int64), ranks)
    assert rows.bounds[0] == 0
    assert rows.total == len(weights)
    assert list(rows.bounds) == sorted(rows.bounds)
    assert len(rows.bounds) == ranks + 1
    assert all(bound % BLOCK_ROWS == 0 for bound in rows.bounds[:-1] if bound < len(weights))
    everyone = np.arange(len(weights))
    owners = rows.owners(everyone)
    for rank in range(ranks):
        first, last = rows.span(rank)
        assert np.array_equal(everyone[owners == rank], np.arange(first, last))


def _fragments(sketches: Any) -> Any:
    counts = [len(sketch) for sketch in sketches]
    return Fragments(
        first=0,
        total=len(sketches),
        hash_offsets=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        hashes=np.array([h for sketch in sketches for h in sorted(sketch)], np.uint64),
        tetra=np.zeros((len(sketches), 136), np.uint16),
    )


@given(st.lists(st.sets(st.integers(0, 25), max_size=12), max_size=25), st.integers(1, 4))
def test_overlaps_are_the_pairs_with_enough_hashes_in_common(sketches: Any, least: Any) -> None:
    fragments = _fragments(sketches)
    rows = Rows((0, len(sketches)))
    edges = overlap_edges(COMM, rows, fragments, least, reach=len(sketches) + 1)
    found = {
        (int(a), int(b)): int(w)
        for a, b, w in zip(edges.row, edges.column, edges.weight, strict=True)
    }
    shared = {
        (a, b): len(sketches[a] & sketches[b])
        for a in range(len(sketches))
        for b in range(len(sketches))
        if a != b
    }
    assert found == {pair: count for pair, count in shared.items() if count >= least}


def test_deep_coverage_links_each_fragment_to_a_bounded_number_of_others() -> None:
    edges = overlap_edges(COMM, Rows((0, 100)), _fragments([{1, 2, 3}] * 100), 3, reach=4)
    degrees = edges.degrees(0, 100)
    assert degrees.max() == 8
    assert degrees.min() == 4


def test_a_deep_component_is_whole_and_a_thin_one_is_not() -> None:
    component = np.array([0] * 1000 + [1000] * 1000 + [2000])
    degree = np.array([45] * 1000 + [4] * 1000 + [0])
    whole = whole_components(component, degree)
    assert whole[:1000].all()
    assert not whole[1000:].any()


def test_a_deep_repeat_does_not_make_its_thin_component_whole() -> None:
    component = np.zeros(300, np.int64)
    degree = np.array([60] * 200 + [3] * 100)
    assert not whole_components(component, degree).any()


def test_of_no_fragments_none_is_whole() -> None:
    assert len(whole_components(np.zeros(0, np.int64), np.zeros(0, np.int64))) == 0


def test_neighbourhoods_are_connected_and_stay_in_their_component() -> None:
    size = 3000
    row = np.concatenate((np.arange(size - 1), np.arange(1, size)))
    column = np.concatenate((np.arange(1, size), np.arange(size - 1)))
    kept = (row < 2000) == (column < 2000)
    order = np.lexsort((column[kept], row[kept]))
    edges = Edges(row[kept][order], column[kept][order], np.ones(int(kept.sum())))
    component = np.where(np.arange(size) < 2000, 0, 2000)
    patch = neighbourhoods(COMM, Rows((0, size)), edges, component)
    assert np.array_equal(component[patch], component)
    # On a path a connected patch is a run of rows.
    assert np.sum(np.diff(patch) != 0) + 1 == len(np.unique(patch))
    assert 10 < len(np.unique(patch)) < 60


@given(st.integers(2, 60), st.integers(1, 5), st.integers(0, 100))
def test_neighbours_are_the_nearest_outside_the_patch(size: Any, wanted: Any, seed: Any) -> None:
    random = np.random.default_rng(seed)
    points = random.random((size, 3))
    patch = random.integers(0, 4, size)
    edges = neighbour_edges(COMM, Rows((0, size)), points, patch, wanted)
    found = set(zip(edges.row.tolist(), edges.column.tolist(), strict=True))
    expected = set()
    for a in range(size):
        outside = [b for b in range(size) if patch[b] != patch[a]]
        outside.sort(key=lambda b: float(((points[a] - points[b]) ** 2).sum()))
        expected |= {(a, b) for b in outside[:wanted]} | {(b, a) for b in outside[:wanted]}
    assert found == expected


def test_coordinates_of_equal_compositions_are_equal() -> None:
    points = coordinates(COMM, Rows((0, 5)), np.zeros((5, 136), np.float32))
    assert np.all(points == 0)


def test_k_means_finds_separate_directions() -> None:
    random = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], 200)
    vectors = np.eye(3)[truth] * random.random((600, 1)) + random.normal(0, 0.01, (600, 3))
    labels = cluster_directions(vectors, 3)
    assert adjusted_rand_score(truth, labels) > 0.9


def test_k_means_of_equal_points_still_gives_labels() -> None:
    assert set(cluster_directions(np.ones((10, 2)), 2).tolist()) <= {0, 1}


def test_a_cluster_that_many_edges_leave_joins_where_they_go() -> None:
    near = np.array([[100.0, 1, 0], [1, 80, 20], [0, 20, 80]])
    overlaps = np.diag([50.0, 50, 50])
    merged = merged_clusters(near, overlaps, Limits(near=0.1, overlaps=0.01))
    assert merged.tolist() == [0, 1, 1]


def test_a_cluster_that_overlaps_another_joins_it_however_few_neighbours_it_has_there() -> None:
    near = np.diag([100.0, 100, 100])
    overlaps = np.array([[90.0, 10, 0], [10, 90, 0], [0, 0, 90]])
    merged = merged_clusters(near, overlaps, Limits(near=0.1, overlaps=0.01))
    assert merged.tolist() == [0, 0, 1]


@given(st.integers(1, 6), st.integers(0, 50))
def test_what_is_left_after_merging_is_set_apart(clusters: Any, seed: Any) -> None:
    random = np.random.default_rng(seed)
    near, overlaps = (random.integers(0, 30, (clusters, clusters)).astype(float) for _ in range(2))
    near, overlaps = (
        t + t.T + np.diag(random.integers(0, 900, clusters)) for t in (near, overlaps)
    )
    merged = merged_clusters(near, overlaps, Limits(near=0.2, overlaps=0.1))
    assert set(merged.tolist()) == set(range(int(merged.max()) + 1))
    member = np.eye(int(merged.max()) + 1)[merged]
    for table, limit in ((near, 0.2), (overlaps, 0.1)):
        joint = member.T @ table @ member
        if len(joint) > 1:
            assert np.all(np.diag(joint) >= (1 - limit) * joint.sum(axis=1) - 1e-9)


def test_refining_moves_a_mislabelled_fragment_to_its_composition() -> None:
    random = np.random.default_rng(2)
    truth = np.repeat([0, 1], 300)
    centres = random.normal(0, 1, (2, 136)).astype(np.float32)
    composition = centres[truth] + random.normal(0, 0.5, (600, 136)).astype(np.float32)
    labels = truth.copy()
    labels[:20] = 1
    assert np.array_equal(refined_labels(COMM, Rows((0, 600)), composition, labels), truth)


@given(st.lists(st.integers(-3, 9), max_size=40))
def test_clusters_are_numbered_by_size_and_then_by_first_row(labels: Any) -> None:
    numbered = numbered_by_size(np.array(labels, np.int64))
    sizes = np.bincount(numbered) if labels else np.zeros(0)
    assert list(sizes) == sorted(sizes, reverse=True)
    assert len(set(zip(labels, numbered.tolist(), strict=True))) == len(set(labels))


def test_the_table_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_clusters(tmp_path / name, [b"r1", b"r2"], np.array([0, 1]), np.array([0, 0]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    text = gzip.decompress((tmp_path / "a").read_bytes()).decode()
    assert text == "read_id\tcluster\tcomponent\nr1\t0\t0\nr2\t1\t0\n"


def test_a_checkpoint_of_other_inputs_is_not_taken(tmp_path: Path) -> None:
    Checkpoint(COMM, tmp_path, "one", 1e7).save("graphs", {"x": np.arange(3)})
    assert Checkpoint(COMM, tmp_path, "two", 1e7).load("graphs") is None
    found = Checkpoint(COMM, tmp_path, "one", 1e7).load("graphs")
    assert found is not None
    assert found["x"].tolist() == [0, 1, 2]


def test_parameters_keep_their_kind() -> None:
    found = Parameters.from_words(["neighbours=10", "composition_weight=0.5"])
    assert (found.neighbours, found.composition_weight) == (10, 0.5)


@pytest.mark.parametrize("word", ["colour=1", "neighbours=many", "neighbours=0", "neighbours"])
def test_a_wrong_parameter_is_refused(word: Any) -> None:
    with pytest.raises(UserError, match=word.split("=")[0]):
        Parameters.from_words([word])


def test_a_set_is_due_as_often_as_its_writing_and_the_failures_of_nodes_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = [0.0, 100.0, 102.0]  # made; and a set that is written in two seconds
    monkeypatch.setattr(checkpoint_module, "monotonic", lambda: moments.pop(0))
    kept = Checkpoint(COMM, tmp_path, "one", 10_000.0)
    kept.save("set", {"x": np.arange(1000)})
    size_bytes = next(tmp_path.glob("*-set.npz")).stat().st_size
    interval_s = best_interval_s(2.0, 10_000.0)
    moments += [102.0 + interval_s - 0.1, 102.0 + interval_s + 0.1]
    assert [kept.due(size_bytes), kept.due(size_bytes)] == [False, True]
    moments += [102.0 + interval_s + 0.1]
    assert not kept.due(2 * size_bytes)  # it takes twice as long, so it is due later


def test_the_first_set_is_due_at_once_for_what_it_takes_is_not_known(tmp_path: Path) -> None:
    assert Checkpoint(COMM, tmp_path, "one", 1e9).due(10**9)
