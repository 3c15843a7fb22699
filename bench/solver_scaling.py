"""How the eigensolver scales: measured on 1 and 2 ranks, modelled on as many as a cluster has.

    python -m bench.solver_scaling [--runs N] [--ring-nodes N]

The graph is that of `solver_vs_slepc`, or one with longer rings. A solve on p ranks is taken to
last

    C W / p + S + A(nodes) x collectives + V(p) / B.

C is how much slower a solve is while each other core does one of its own: cores share the memory,
whatever the program. W and S, what ranks share out and what each does anew, follow from the times
on 1 and 2 ranks. V are the bytes that a node gets from others: the blocks of sums, as counted, and
the rows of others that its ranks' products need, as the graph says for that many ranks. B and A
were measured by AWS with the OSU benchmarks between c5n.18xlarge (aws/aws-parallelcluster, results
of its performance tests): 11.2 GB/s in both directions together, 266 us for a small sum over 32
nodes, which grows with the logarithm of the nodes. A node has 36 ranks and is taken to slow down
by the same C as this machine, which nothing else may use meanwhile.
"""

import argparse
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from bench.peers import RESULTS, in_turn, middle
from bench.solver_vs_slepc import RING_NODES, RINGS, ring_graph, solve
from workflows.read_clustering.spectral.parallel import split_rows

RANKS = (1, 2, 4, 8, 16, 36, 72, 144, 288)
RANKS_PER_NODE = 36
BYTES_PER_S = 11.2e9 / 2
SUM_OVER_32_NODES_S = 266e-6


def rows_of_others(graph: csr_array, ranks: int) -> int:
    """Return how many rows of others the products of the neediest rank want."""
    rows = split_rows(np.diff(graph.indptr).astype(np.int64), ranks)
    most = 0
    for rank in range(ranks):
        first, last = rows.span(rank)
        columns = np.unique(graph.indices[graph.indptr[first] : graph.indptr[last]])
        most = max(most, int(np.count_nonzero((columns < first) | (columns >= last))))
    return most


@dataclass(frozen=True)
class Measured:
    """Seconds on one rank, on two, and on one while the other core does the same by itself."""

    one_s: float
    two_s: float
    beside_s: float
    told: dict[str, Any]

    @property
    def slowdown(self) -> float:
        """Return C."""
        return self.beside_s / self.one_s

    @property
    def serial_s(self) -> float:
        """Return S, from one = W + S and two = C W / 2 + S."""
        half = self.slowdown / 2
        return max(0.0, (self.two_s - half * self.one_s) / (1 - half))

    def modelled_s(self, graph: csr_array, ranks: int) -> float:
        """Return the seconds of a solve on so many ranks by the model above."""
        nodes = -(-ranks // RANKS_PER_NODE)
        seconds = self.slowdown * (self.one_s - self.serial_s) / ranks + self.serial_s
        if nodes == 1:
            return seconds
        (exchanges, _), (sums, sum_bytes) = self.told["exchanges"], self.told["sums"]
        latency_s = SUM_OVER_32_NODES_S * math.log2(nodes) / 5
        # A node's ranks share its network: a sum comes to it once, rows to each of its ranks.
        row_bytes = 8 * rows_of_others(graph, ranks) * RANKS_PER_NODE * exchanges
        told_s: float = latency_s * (exchanges + sums) + (sum_bytes + row_bytes) / BYTES_PER_S
        return seconds + told_s


def measure(graph: Path, runs: int) -> Measured:
    """Solve on one rank, on two, and twice on one at the same time."""

    def beside() -> dict[str, Any]:
        with ThreadPoolExecutor() as threads:
            both = list(threads.map(lambda core: solve("ours", 1, graph, core), (0, 1)))
        return max(both, key=lambda run: float(run["wall_s"]))

    found = in_turn(
        runs,
        one=lambda: solve("ours", 1, graph),
        two=lambda: solve("ours", 2, graph),
        beside=beside,
    )
    one_s, two_s, beside_s = (
        middle([run["wall_s"] for run in found[name]]) for name in ("one", "two", "beside")
    )
    return Measured(one_s, two_s, beside_s, found["two"][0])


def main() -> None:
    """Read the command line, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--ring-nodes", type=int, default=RING_NODES)
    arguments = parser.parse_args()
    path = RESULTS / f"rings-{arguments.ring_nodes}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = ring_graph(RINGS, arguments.ring_nodes)
    np.savez(path, indptr=graph.indptr, indices=graph.indices, data=graph.data)
    measured = measure(path, arguments.runs)
    steps, sum_bytes = measured.told["exchanges"][0], measured.told["sums"][1]
    print(f"{graph.shape[0]:,} nodes, {graph.nnz:,} weights, {steps:,} steps")
    print(f"a rank gets {sum_bytes / steps:,.0f} bytes for sums in a step")
    print(f"beside another solve, one on 1 rank takes {measured.slowdown:.2f} times as long")
    print(f"what more ranks do not shorten: {measured.serial_s:.2f} s")
    print(f"{'ranks':>6} {'seconds':>9} {'speed-up':>9} {'efficiency':>11} {'rows of others':>15}")
    for ranks in RANKS:
        known = {1: measured.one_s, 2: measured.two_s}.get(ranks)
        seconds = known or measured.modelled_s(graph, ranks)
        speedup = measured.one_s / seconds
        print(
            f"{ranks:6} {seconds:9.2f} {speedup:9.1f} {speedup / ranks:11.2f} "
            f"{rows_of_others(graph, ranks):15,}  {'measured' if known else 'modelled'}"
        )


if __name__ == "__main__":
    main()
