"""How well reads are clustered by genome: our clustering beside simpler ones, whoever wins.

    python -m bench.clustering_quality [--sample TRUTH READS...] [--sample ...] [--ranks N]

TRUTH is a tab-separated table with a header (read id, then what is known of the read); READS are
FASTQ files of one sample. Without a sample the bundled reads are taken. For every column of the
truth the adjusted Rand index is printed: 1 is perfect, 0 is chance.

Compared are
- components: the connected components of the overlap graph;
- k-means: on each read's standardised tetranucleotide frequencies, k being the true number of
  groups (genera, else origins), which the others are not told;
- Leiden on overlaps: modularity on the overlap graph, weighted by shared hashes;
- Leiden on combined: the same on the graph of overlaps and composition that ours cuts;
- ours: the program `spectral` on --ranks ranks.
Seconds are from the sketches on: with the making of the graph, and for ours with the start-up.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import igraph
import leidenalg
import numpy as np
from mpi4py import MPI
from sklearn.cluster import KMeans

from workflows.read_clustering import cut, quality, sketch
from workflows.read_clustering.spectral.composition import (
    compositions,
    coordinates,
    neighbour_edges,
)
from workflows.read_clustering.spectral.graph import Edges, components
from workflows.read_clustering.spectral.neighbourhoods import neighbourhoods, within
from workflows.read_clustering.spectral.overlaps import overlap_edges
from workflows.read_clustering.spectral.parallel import Ints as Labels
from workflows.read_clustering.spectral.parallel import Rows
from workflows.read_clustering.spectral.pipeline import Parameters, combined_graph
from workflows.read_clustering.spectral.score import judged_column, read_truth, scores
from workflows.read_clustering.spectral.sketches import Fragments, read_fragments, read_names

COMM = MPI.COMM_SELF
SETTING = Parameters()
SEED = 1
DEMO = Path(__file__).parent.parent / "workflows" / "read_clustering" / "demo"


@dataclass(frozen=True)
class Sample:
    """Sketch shards of one sample, their read names and what is known of the reads."""

    shards: list[Path]
    names: list[str]
    truth: dict[str, dict[str, str]]


def main() -> None:
    """Print one table a sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", action="append", nargs="+", type=Path, default=[])
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks of our program")
    arguments = parser.parse_args()
    demo = [DEMO / "demo.truth.tsv.gz", *sorted(DEMO.glob("demo_R?.fastq.gz"))]
    for truth, *reads in arguments.sample or [demo]:
        with tempfile.TemporaryDirectory() as folder:
            _print_table(truth, reads, Path(folder), arguments.ranks)


def _print_table(truth: Path, reads: list[Path], folder: Path, ranks: int) -> None:
    shards = _sketched(reads, folder)
    names = [name.decode() for path in shards for name in read_names(path)]
    sample = Sample(shards, names, read_truth(truth, set(names)))
    columns = list(sample.truth)
    print(f"\n{truth.name.split('.')[0]}: {len(names):,} fragments")
    print(f"{'method':22}{'clusters':>10}{'seconds':>9}", *(f"{c:>12}" for c in columns))
    for method, labels, seconds in _results(sample, folder, ranks):
        found = scores(names, labels.tolist(), sample.truth)
        clusters = len(np.unique(labels))
        print(f"{method:22}{clusters:10,}{seconds:9.1f}", *(f"{found[c]:12.3f}" for c in columns))


def _sketched(reads: list[Path], folder: Path) -> list[Path]:
    """Cut, filter and sketch the reads as the workflow does; return the sketch shards."""
    cut.run(reads, folder / "cut")
    for name in ("quality", "in"):
        (folder / name).mkdir()
    for number, shard in enumerate(sorted((folder / "cut").iterdir())):
        filtered = folder / "quality" / shard.name
        quality.run([shard], filtered)
        sketch.run([filtered], folder / "in" / f"{number:05d}.npz")
    return sorted((folder / "in").iterdir())


def _results(sample: Sample, folder: Path, ranks: int) -> Iterator[tuple[str, Labels, float]]:
    """Yield each method's name, labels and seconds."""
    start_s = time.perf_counter()
    fragments = read_fragments(COMM, sample.shards)
    read_s = time.perf_counter()
    overlaps = _overlaps(fragments)
    overlaps_s = time.perf_counter()
    combined = _combined(fragments, overlaps)
    combined_s = time.perf_counter()
    groups = len(set(sample.truth[judged_column(sample.truth)].values()))
    methods: list[tuple[str, float, Callable[[], Labels]]] = [
        ("components", overlaps_s, lambda: components(COMM, fragments.total, overlaps)),
        ("k-means, k known", read_s, lambda: _k_means(fragments, groups)),
        ("Leiden on overlaps", overlaps_s, lambda: _leiden(fragments.total, overlaps)),
        ("Leiden on combined", combined_s, lambda: _leiden(fragments.total, combined)),
        ("ours", start_s, lambda: _ours(folder, ranks)),
    ]
    for name, given_s, method in methods:
        begin_s = time.perf_counter()
        labels = method()
        yield name, labels, time.perf_counter() - begin_s + given_s - start_s


def _overlaps(fragments: Fragments) -> Edges:
    rows = Rows((0, fragments.total))
    return overlap_edges(COMM, rows, fragments, SETTING.min_shared, SETTING.reach)


def _combined(fragments: Fragments, overlaps: Edges) -> Edges:
    """Return the combined graph of all fragments, also of those in whole components."""
    rows = Rows((0, fragments.total))
    patch = neighbourhoods(COMM, rows, overlaps, components(COMM, fragments.total, overlaps))
    composition = compositions(COMM, rows, within(overlaps, patch), fragments.tetra)
    points = coordinates(COMM, rows, composition)
    near = neighbour_edges(COMM, rows, points, patch, SETTING.neighbours)
    return combined_graph(COMM, rows, overlaps, near, SETTING.composition_weight)


def _k_means(fragments: Fragments, groups: int) -> Labels:
    counts = fragments.tetra.astype(np.float64)
    frequencies = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    spread = frequencies.std(axis=0)
    points = (frequencies - frequencies.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    labels: Labels = KMeans(groups, n_init=4, random_state=SEED).fit(points).labels_
    return labels


def _leiden(total: int, edges: Edges) -> Labels:
    once = edges.row < edges.column
    pairs = np.stack((edges.row[once], edges.column[once]), axis=1)
    graph = igraph.Graph(n=total, edges=pairs)
    found = leidenalg.find_partition(
        graph,
        leidenalg.ModularityVertexPartition,
        weights=edges.weight[once].tolist(),
        seed=SEED,
    )
    return np.array(found.membership, np.int64)


def _ours(folder: Path, ranks: int) -> Labels:
    program = [sys.executable, "-m", "hpc.spectral", "--inputs", str(folder / "in")]
    program += ["--output", str(folder / "out"), "--checkpoint", str(folder / "checkpoint")]
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    done = subprocess.run(
        ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *program],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | root | {"OMP_NUM_THREADS": "1"},
    )
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    with gzip.open(folder / "out" / "clusters.tsv.gz", "rt") as table:
        return np.array([int(line.split("\t")[1]) for line in list(table)[1:]], np.int64)


if __name__ == "__main__":
    main()
