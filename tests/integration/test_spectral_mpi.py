"""The program `spectral` under real mpirun: the same clusters on any number of ranks."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workflows.read_clustering import sketch
from workflows.read_clustering.simulate import Genome, ReadModel, Record, fastq, simulate, truth

TIMEOUT_S = 240
MPIRUN = Path(sys.executable).parent / "mpirun"
ENVIRONMENT = {
    **os.environ,
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl": "^ofi",
    "OMP_NUM_THREADS": "1",
}


def _random_codes(random: Any, bases: Any, gc: Any) -> Any:
    return random.choice(4, bases, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]).astype(np.uint8)


def _genomes() -> Any:
    """Return two genomes at 2x, apart in GC content, and a small one at 25x."""
    random = np.random.default_rng(7)
    kinds = [("thin_at", 150_000, 0.42, 2.0), ("thin_gc", 150_000, 0.53, 2.0)]
    kinds.append(("deep", 6_000, 0.45, 25.0))
    return [
        Genome(name, name, coverage, (Record(name, _random_codes(random, bases, gc)),))
        for name, bases, gc, coverage in kinds
    ]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: Any) -> Any:
    """Return a folder with three sketch shards and a truth."""
    folder = tmp_path_factory.mktemp("inputs")
    genomes = _genomes()
    pairs = simulate(genomes, ReadModel(), 5)
    mates = [fastq(pairs, mate, "s").splitlines(keepends=True) for mate in (0, 1)]
    size = 4 * (len(mates[0]) // 4 // 3 + 1)
    for number in range(3):
        span = slice(number * size, (number + 1) * size)
        first, second = (mate[span] for mate in mates)
        shard = folder / f"{number:05d}.paired.fastq.gz"
        lines = [
            line
            for start in range(0, len(first), 4)
            for line in (*first[start : start + 4], *second[start : start + 4])
        ]
        shard.write_bytes(gzip.compress(b"".join(lines)))
        sketch.run([shard], folder / f"{number:05d}.npz")
        shard.unlink()
    (folder / "s.truth.tsv").write_text(truth(pairs, genomes, "s"))
    return folder


def _command(ranks: Any, inputs: Any, output: Any, checkpoint: Any, *parameters: Any) -> Any:
    words = [str(MPIRUN), "-n", str(ranks), "--oversubscribe", "--bind-to", "none"]
    words += [sys.executable, "-m", "hpc.spectral", "--inputs", str(inputs)]
    words += ["--output", str(output), "--checkpoint", str(checkpoint)]
    return words + [word for name in parameters for word in ("--parameter", name)]


def _run(ranks: Any, inputs: Any, folder: Any, *parameters: Any, **environment: str) -> Any:
    done = subprocess.run(
        _command(ranks, inputs, folder / "out", folder / "checkpoint", *parameters),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=ENVIRONMENT | environment,
    )
    assert done.returncode == 0, done.stderr
    return _result(folder), (folder / "out" / "clusters.tsv.gz").read_bytes()


def _result(folder: Any) -> Any:
    return json.loads((folder / "out" / "result.json").read_text())


@pytest.fixture(scope="module")
def single(inputs: Any, tmp_path_factory: Any) -> Any:
    """Return what one rank finds."""
    return _run(1, inputs, tmp_path_factory.mktemp("single"))


def test_thin_and_deep_genomes_are_found_together(single: Any) -> None:
    result, _ = single
    assert result["adjusted_rand_index_by"] == "genus"
    assert result["adjusted_rand_index"] > 0.95
    assert result["whole_components"] >= 1
    assert [solved["clusters"] for solved in result["solved"]] == [2]


def test_the_table_lists_the_fragments_in_the_order_of_the_input(single: Any, inputs: Any) -> None:
    _, table = single
    ids = [line.split("\t")[0] for line in gzip.decompress(table).decode().splitlines()]
    known = [line.split("\t")[0] for line in (inputs / "s.truth.tsv").read_text().splitlines()]
    assert ids == ["read_id", *known[1:]]


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_any_number_of_ranks_gives_the_same_clusters(
    ranks: Any, inputs: Any, single: Any, tmp_path: Path
) -> None:
    expected, table = single
    result, found = _run(ranks, inputs, tmp_path)
    assert found == table
    for ours, theirs in zip(result["solved"], expected["solved"], strict=True):
        assert np.allclose(ours["eigenvalues"], theirs["eigenvalues"], rtol=0, atol=1e-8)


def test_a_killed_job_goes_on_from_its_checkpoint_on_another_number_of_ranks(
    inputs: Any, single: Any, tmp_path: Path
) -> None:
    expected, table = single
    command = _command(2, inputs, tmp_path / "out", tmp_path / "checkpoint")
    job = subprocess.Popen(
        command,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
    )
    deadline_s = time.monotonic() + TIMEOUT_S
    while not list(tmp_path.glob("checkpoint/*.npz")) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    assert not (tmp_path / "out" / "result.json").exists()
    result, found = _run(3, inputs, tmp_path)
    assert result["resumed"]
    assert not expected["resumed"]
    assert found == table


def test_where_nodes_fail_often_the_eigensolver_goes_on_from_its_own_state(
    inputs: Any, single: Any, tmp_path: Path
) -> None:
    _, table = single
    _run(2, inputs, tmp_path, TRIVIUM_MTBF_S="0.001")
    states = list(tmp_path.glob("checkpoint/*-lanczos-*.npz"))
    assert states
    assert all(int(np.load(path)["restarts"]) > 0 for path in states)
    result, found = _run(3, inputs, tmp_path)
    assert result["resumed"]
    assert found == table


def test_where_nodes_hardly_fail_a_short_solve_is_not_kept(inputs: Any, tmp_path: Path) -> None:
    _run(2, inputs, tmp_path)
    assert not list(tmp_path.glob("checkpoint/*-lanczos-*.npz"))


def test_a_changed_parameter_starts_afresh(inputs: Any, tmp_path: Path) -> None:
    _run(1, inputs, tmp_path)
    result, _ = _run(1, inputs, tmp_path, "neighbours=10")
    assert not result["resumed"]


def test_a_broken_shard_on_one_rank_ends_the_whole_job_with_its_name(
    inputs: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for path in inputs.glob("*.npz"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "99999.npz").write_bytes((inputs / "00000.npz").read_bytes()[:200_000])
    done = subprocess.run(
        _command(2, folder, tmp_path / "out", tmp_path / "checkpoint"),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=ENVIRONMENT,
    )
    assert done.returncode != 0
    assert "UserError: 99999.npz is not a sketch shard" in done.stderr


@pytest.mark.parametrize("fragments", [1, 40])
def test_few_fragments_are_a_result_too(fragments: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    pairs = simulate(_genomes(), ReadModel(), 5)
    mates = [fastq(pairs, mate, "s").splitlines(keepends=True) for mate in (0, 1)]
    lines = [
        line
        for start in range(0, 4 * fragments, 4)
        for mate in mates
        for line in mate[start : start + 4]
    ]
    shard = tmp_path / "00000.paired.fastq.gz"
    shard.write_bytes(gzip.compress(b"".join(lines)))
    sketch.run([shard], folder / "00000.npz")
    result, table = _run(2, folder, tmp_path)
    assert result["fragments"] == fragments
    assert len(gzip.decompress(table).splitlines()) == fragments + 1
    assert result["clusters"] <= fragments


def test_a_sample_of_which_no_read_is_left_is_refused_on_all_ranks(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shard = tmp_path / "00000.single.fastq.gz"
    shard.write_bytes(gzip.compress(b""))
    sketch.run([shard], folder / "00000.npz")
    done = subprocess.run(
        _command(2, folder, tmp_path / "out", tmp_path / "checkpoint"),
        check=False,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=ENVIRONMENT,
    )
    assert done.returncode != 0
    assert "UserError: no read is left after the quality filter" in done.stderr
