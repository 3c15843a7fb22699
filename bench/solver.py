"""One solve on all ranks of an MPI job: the program of both sides of `solver_vs_slepc`.

    mpirun -n RANKS PYTHON bench/solver.py ours|slepc GRAPH.npz COUNT

GRAPH holds a symmetric matrix by rows: indptr, indices and data. Wanted are the COUNT lowest
eigenpairs of its normalised Laplacian. Rank 0 prints a JSON line: wall seconds of the solve (from
barrier to barrier, set-up of the operator included), processor seconds of all ranks, the
eigenvalues, and the largest residual |L x - a x| of an eigenvector of length 1, reckoned anew. Ours
says as well how often and how many bytes its rank 0 got from others: `exchanges` (rows that the
products need) and `sums`.

SLEPc's side runs under Debian's Python, which has none of the project's libraries: imports are
within the functions.
"""

# ruff: noqa: PLC0415 - each side has the imports that the other lacks

import json
import sys
import time
from typing import Any

import numpy as np

TOLERANCE = 1e-8


def solve_ours(path: str, count: int) -> dict[str, Any] | None:
    """Return the figures of this project's solver, on rank 0."""
    from mpi4py import MPI

    from workflows.read_clustering.spectral.eigen import NormalisedAdjacency, lowest_eigenpairs
    from workflows.read_clustering.spectral.graph import Edges
    from workflows.read_clustering.spectral.parallel import split_rows

    class Counted(MPI.Intracomm):
        """Counts calls and bytes that come in."""

        told: dict[str, list[int]]

        def Alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
            super().Alltoallv(sendbuf, recvbuf)
            self._count("exchanges", recvbuf[0].nbytes)

        def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:  # noqa: N802
            super().Allgatherv(sendbuf, recvbuf)
            self._count("sums", recvbuf[0].nbytes)

        def _count(self, kind: str, count: int) -> None:
            told = self.told.setdefault(kind, [0, 0])
            told[0], told[1] = told[0] + 1, told[1] + count

    comm = Counted(MPI.COMM_WORLD)
    comm.told = {}
    with np.load(path) as graph:
        indptr = graph["indptr"].astype(np.int64)
        rows = split_rows(np.diff(indptr), comm.size)
        first, last = rows.span(comm.rank)
        span = slice(indptr[first], indptr[last])
        row = np.repeat(np.arange(first, last), np.diff(indptr[first : last + 1]))
        edges = Edges(row, graph["indices"][span].astype(np.int64), graph["data"][span])
    comm.Barrier()
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    pairs = lowest_eigenpairs(comm, rows, edges, count)
    comm.Barrier()
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    told = dict(comm.told)
    matrix = NormalisedAdjacency(comm, rows, edges)
    squares = []
    for value, vector in zip(pairs.values, pairs.vectors.T, strict=True):
        residual = vector - matrix.times(np.ascontiguousarray(vector)) - value * vector
        squares.append(comm.allreduce(float(residual @ residual)))
    figures = {
        "wall_s": wall_s,
        "cpu_s": comm.allreduce(cpu_s),
        "values": pairs.values.tolist(),
        "residual": max(squares) ** 0.5,
        "restarts": pairs.restarts,
        **told,
    }
    return figures if comm.rank == 0 else None


def solve_slepc(path: str, count: int) -> dict[str, Any] | None:
    """Return the figures of SLEPc's default solver (Krylov-Schur), on rank 0."""
    import slepc4py

    slepc4py.init([])
    from petsc4py import PETSc
    from slepc4py import SLEPc

    comm = PETSc.COMM_WORLD
    with np.load(path) as graph:
        indptr, indices, data = graph["indptr"], graph["indices"], graph["data"]
    total = len(indptr) - 1
    strengths = np.add.reduceat(data, indptr[:-1])
    roots = np.sqrt(strengths)
    bounds = [total * rank // comm.size for rank in range(comm.size + 1)]
    first, last = bounds[comm.rank], bounds[comm.rank + 1]
    span = slice(indptr[first], indptr[last])
    row = np.repeat(np.arange(first, last), np.diff(indptr[first : last + 1]))
    scaled = data[span] / (roots[row] * roots[indices[span]])
    matrix = PETSc.Mat().createAIJ(
        ((last - first, total), (last - first, total)),
        csr=(
            (indptr[first : last + 1] - indptr[first]).astype(PETSc.IntType),
            indices[span].astype(PETSc.IntType),
            scaled,
        ),
    )
    known = matrix.createVecRight()
    known.setArray(roots[first:last] / np.linalg.norm(roots))
    comm.barrier()
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    solver = SLEPc.EPS().create()
    solver.setOperators(matrix)
    solver.setProblemType(SLEPc.EPS.ProblemType.HEP)
    solver.setWhichEigenpairs(SLEPc.EPS.Which.LARGEST_REAL)
    solver.setDeflationSpace([known])
    solver.setDimensions(count - 1)
    solver.setTolerances(TOLERANCE, 100_000)
    solver.setConvergenceTest(SLEPc.EPS.Conv.ABS)
    solver.solve()
    comm.barrier()
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    if solver.getConverged() < count - 1:
        raise SystemExit("SLEPc did not converge")
    values, residual = [0.0], 0.0
    vector, product = matrix.createVecs()
    for number in range(count - 1):
        value = solver.getEigenpair(number, vector).real
        matrix.mult(vector, product)
        product.axpy(-value, vector)
        residual = max(residual, product.norm() / vector.norm())
        values.append(1.0 - value)
    total_cpu = PETSc.Vec().createMPI((1, comm.size))
    total_cpu.set(cpu_s)
    figures = {
        "wall_s": wall_s,
        "cpu_s": total_cpu.sum(),
        "values": values,
        "residual": residual,
        "restarts": solver.getIterationNumber(),
        "basis": solver.getDimensions()[1],
    }
    return figures if comm.rank == 0 else None


if __name__ == "__main__":
    side, graph, count = sys.argv[1:]
    figures = {"ours": solve_ours, "slepc": solve_slepc}[side](graph, int(count))
    if figures is not None:
        print(json.dumps(figures))
