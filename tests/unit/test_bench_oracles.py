"""What benchmarks compare by must itself be right."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import quality_vs_fastp
from bench.local_runs import kind_of, peak_kb
from bench.solver_vs_slepc import largest_difference, ring_graph, scipy_eigenvalues


def test_the_ring_graph_is_symmetric_without_loops() -> None:
    weights = ring_graph(3, 50)
    assert abs(weights - weights.T).max() == 0
    assert weights.diagonal().max() == 0
    assert weights.shape == (150, 150)


def test_scipys_eigenvalues_are_those_of_the_dense_laplacian() -> None:
    weights = ring_graph(3, 50)
    dense = weights.toarray()
    roots = np.sqrt(dense.sum(axis=1))
    expected = np.linalg.eigvalsh(np.eye(len(dense)) - dense / np.outer(roots, roots))[:5]
    assert largest_difference(scipy_eigenvalues(weights, 5), expected.tolist()) < 1e-10


def test_a_process_that_has_ended_has_no_peak() -> None:
    assert peak_kb("Name:\tpython\nVmHWM:\t    1234 kB\nVmRSS:\t 12 kB\n") == 1234
    assert peak_kb("Name:\tpython\nState:\tZ (zombie)\n") is None


def test_a_rank_is_told_from_the_wrapper_that_starts_it() -> None:
    assert kind_of(["python", "-m", "mpi4py", "-m", "hpc.spectral"]) == "spectral rank"
    assert kind_of(["python", "-m", "hpc.job", "runs/x"]) == "MPI job's wrapper"
    assert kind_of(["sleep", "1"]) == "other"


def test_a_read_that_only_one_program_keeps_is_seen(tmp_path: Path, monkeypatch: Any) -> None:
    kept = {"ours": [b"1", b"2"], "fastp": [b"1"]}
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "o.fq.gz").touch()
    monkeypatch.setattr(quality_vs_fastp, "records", lambda file: iter(kept[file.parent.name]))
    with pytest.raises(SystemExit, match="different reads"):
        quality_vs_fastp.check_same_reads(tmp_path / "ours", tmp_path / "fastp")
    kept["fastp"].append(b"2")
    quality_vs_fastp.check_same_reads(tmp_path / "ours", tmp_path / "fastp")
