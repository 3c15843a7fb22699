"""The main job without Trivium: python -m bench.plain_script OUTPUT RANKS FILE...

What somebody would write for one machine: cut, then quality and sketch of every shard on two
processes, then the clustering under mpirun; each step begins when the one before has ended.
Prints a JSON line: the seconds of every step, and the largest peak memory of a process in it.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from workflows.read_clustering import cut, quality, sketch


def filtered(shard: Path, folder: Path) -> None:
    """Filter one shard."""
    quality.run([shard], folder / shard.name)


def sketched(shard: Path, folder: Path) -> None:
    """Sketch one shard."""
    sketch.run([shard], folder / f"{shard.name.split('.')[0]}.npz")


def on_every_file(work: Callable[[Path], None], files: Path, workers: int) -> None:
    """Do the work for every file of a folder, on some processes."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        list(pool.map(work, sorted(files.iterdir())))


def main(output: Path, ranks: int, files: list[Path]) -> None:
    """Do the four steps and print what each took."""
    output.mkdir(parents=True)
    kept, sketches = output / "kept", output / "sketches"
    kept.mkdir()
    sketches.mkdir()
    mpirun = [str(Path(sys.executable).parent / "mpirun"), "-n", str(ranks), "--oversubscribe"]
    mpirun += ["--bind-to", "none", sys.executable, "-m", "mpi4py", "-m", "hpc.spectral"]
    mpirun += ["--inputs", str(sketches), "--output", str(output / "clusters")]
    mpirun += ["--checkpoint", str(output / "checkpoint")]
    # A rank has one thread, as in Trivium's jobs: four would be in each other's way on two cores.
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    allowed["OMPI_MCA_btl"] = "^ofi"  # as the jobs of a run have it: begins a second sooner
    steps: dict[str, Callable[[], object]] = {
        "cut": lambda: cut.run(files, output / "shards"),
        "quality": lambda: on_every_file(partial(filtered, folder=kept), output / "shards", ranks),
        "sketch": lambda: on_every_file(partial(sketched, folder=sketches), kept, ranks),
        "spectral": lambda: subprocess.run(
            mpirun, check=True, env=os.environ | single | allowed, stderr=subprocess.DEVNULL
        ),
    }
    took = {}
    for name, step in steps.items():
        begun_s = time.perf_counter()
        step()
        own, children = (
            resource.getrusage(who).ru_maxrss
            for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        took[name] = {
            "s": time.perf_counter() - begun_s,
            "peak_mb_so_far": max(own, children) / 1024,
        }
    print(json.dumps(took))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(word) for word in sys.argv[3:]])
