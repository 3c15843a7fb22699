"""Compare the eigensolver with SLEPc's and scipy's on one graph, on 1 and on 2 ranks.

    apt-get install python3-slepc4py libopenblas0
    python -m bench.solver_vs_slepc [--runs N]

The graph has 120,000 nodes and 2.4 million stored weights: twelve rings of 10,000 nodes, each
linked to the ten next to it, with a random link inside its ring for every twentieth node and one
to anywhere for every two-hundredth. Its twelve lowest eigenvalues lie within 0.0005, as those of
overlaps between reads do. Wanted are twelve eigenpairs of the normalised Laplacian with residuals
below 1e-8. SLEPc's solver is its default (Krylov-Schur), with the known eigenvector deflated as in
ours, the same tolerance on the absolute residual, Debian's build with OpenBLAS. One thread a rank.

Compared are processor seconds on 1 rank, pinned to a core, and clock seconds on 2: parallel
efficiency is the clock time on 1 rank over twice that on 2, which needs two cores that nothing
else uses.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import eigsh

from bench.peers import ONE_THREAD, RESULTS, ROOT, Result, in_turn, middle, write

RINGS, RING_NODES, REACH, SEED = 12, 10_000, 10, 7
COUNT = 12
EIGENVALUE_TOLERANCE = 1e-8
RESIDUAL_LIMIT = 2e-8  # of the tolerance 1e-8, which each solver estimates in its own way
DEBIAN_PYTHON = "/usr/bin/python3"


def ring_graph(rings: int, nodes: int) -> csr_array:
    """Return the symmetric weights of the graph above, float64[rings * nodes, rings * nodes]."""
    random = np.random.default_rng(SEED)
    total = rings * nodes
    every = np.arange(total)
    ring, place = every // nodes * nodes, every % nodes
    inside, anywhere = (
        random.integers(total, size=total // 20),
        random.integers(total, size=total // 200),
    )
    row = np.concatenate((np.tile(every, REACH), inside, anywhere))
    column = np.concatenate(
        (
            *(ring + (place + step) % nodes for step in range(1, REACH + 1)),
            ring[inside] + random.integers(nodes, size=len(inside)),
            random.integers(total, size=len(anywhere)),
        )
    )
    row, column = row[row != column], column[row != column]
    weight = random.random(len(row)) + 0.1
    half = coo_array((weight, (row, column)), shape=(total, total)).tocsr()
    return csr_array(half + half.T)


def scipy_eigenvalues(weights: csr_array, count: int) -> list[float]:
    """Return the lowest eigenvalues of the normalised Laplacian as ARPACK finds them."""
    roots = np.sqrt(weights.sum(axis=1))
    similar = weights.multiply(1 / roots[:, None]).multiply(1 / roots[None, :]).tocsr()
    start = np.random.default_rng(SEED).standard_normal(len(roots))
    found = eigsh(similar, count, which="LA", tol=1e-11, ncv=60, v0=start)[0]
    return sorted((1.0 - found).tolist())


def slepc_variables() -> dict[str, str]:
    """Return what Debian's slepc4py needs in its environment.

    Raises:
        SystemExit: it is not installed.

    """
    slepc, petsc = (
        sorted(Path(f"/usr/lib/{name}dir").glob(f"{name}*/*-real")) for name in ("slepc", "petsc")
    )
    if not slepc or not petsc or not list(slepc[-1].glob("lib/python3/dist-packages/slepc4py")):
        raise SystemExit(
            "SLEPc is not installed; on Debian: apt-get install python3-slepc4py libopenblas0"
        )
    return {"SLEPC_DIR": str(slepc[-1]), "PETSC_DIR": str(petsc[-1])}


def solve(side: str, ranks: int, graph: Path, first_core: int = 0) -> dict[str, Any]:
    """Solve on some ranks, each on a core of its own where there are enough; return the figures."""
    root_allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    environment = os.environ | ONE_THREAD | root_allowed
    if side == "ours":
        environment["PYTHONPATH"] = str(ROOT)
        mpirun, python = str(Path(sys.executable).parent / "mpirun"), sys.executable
    else:
        environment.pop("PYTHONPATH", None)
        environment |= slepc_variables()
        mpirun, python = "/usr/bin/mpirun", DEBIAN_PYTHON
    allowed = sorted(os.sched_getaffinity(0))[first_core : first_core + ranks]
    cores = ",".join(map(str, allowed))
    words = ["taskset", "-c", cores, mpirun, "-n", str(ranks), "--oversubscribe"]
    words += ["--bind-to", "none", python, str(ROOT / "bench" / "solver.py")]
    done = subprocess.run(
        [*words, side, str(graph), str(COUNT)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        raise SystemExit(f"{side} on {ranks} ranks failed: {done.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if figures["residual"] > RESIDUAL_LIMIT:
        raise SystemExit(f"{side} on {ranks} ranks has a residual of {figures['residual']}")
    return figures


def largest_difference(left: list[float], right: list[float]) -> float:
    """Return the largest difference between two lists of eigenvalues."""
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


def main() -> None:
    """Read the command line, compare and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    slepc_variables()
    graph = RESULTS / "rings.npz"
    graph.parent.mkdir(parents=True, exist_ok=True)
    weights = ring_graph(RINGS, RING_NODES)
    np.savez(graph, indptr=weights.indptr, indices=weights.indices, data=weights.data)
    found = in_turn(
        runs,
        ours_1=lambda: solve("ours", 1, graph),
        slepc_1=lambda: solve("slepc", 1, graph),
        ours_2=lambda: solve("ours", 2, graph),
        slepc_2=lambda: solve("slepc", 2, graph),
    )
    expected = scipy_eigenvalues(weights, COUNT)
    worst = max(
        largest_difference(one["values"], expected) for several in found.values() for one in several
    )
    if worst > EIGENVALUE_TOLERANCE:
        raise SystemExit(f"eigenvalues differ from scipy's by {worst}")
    clock = {name: middle([one["wall_s"] for one in several]) for name, several in found.items()}
    cpu = {name: middle([one["cpu_s"] for one in several]) for name, several in found.items()}
    print(f"{graph.name}: {weights.shape[0]:,} nodes, {weights.nnz:,} weights, {runs} runs each")
    print(f"eigenvalues within {worst:.1e} of scipy's")
    for name, several in found.items():
        print(
            f"{name:8} {clock[name]:7.2f} s clock {cpu[name]:7.2f} s processor, "
            f"{several[0]['restarts']} restarts, residual {several[0]['residual']:.1e}"
        )
    efficiency = {side: clock[f"{side}_1"] / (2 * clock[f"{side}_2"]) for side in ("ours", "slepc")}
    write(
        [
            Result(
                "solver_1_rank",
                cpu["ours_1"],
                cpu["slepc_1"],
                cpu["slepc_1"] / cpu["ours_1"],
                2 / 3,
                "s processor",
            ),
            Result(
                "solver_2_ranks",
                clock["ours_2"],
                clock["slepc_2"],
                clock["slepc_2"] / clock["ours_2"],
                2 / 3,
                "s clock",
            ),
            Result(
                "solver_efficiency",
                efficiency["ours"],
                efficiency["slepc"],
                efficiency["ours"],
                0.8,
                "on 2 ranks",
            ),
        ],
        found,
    )


if __name__ == "__main__":
    main()
