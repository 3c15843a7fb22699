"""What a run on a local stack takes beyond a plain script that does the same steps in a row.

    python -m bench.run_vs_script [--reads N ...] [--runs N]

For every size a sample is generated. A run, placed for least time, is taken from the first byte of
its upload to the end of its report; the script (`bench.plain_script`) from its start to its end, on
as many processes as the stack has slots. A small sample goes through both first: what is compiled
once on a machine is then compiled. Both must give the same clusters, byte for byte. Where the
difference goes follows from the run's ledger; the peak memory of the stack's processes is read from
the kernel. The stack's own start is not counted. Both use the whole machine: the figures need one
that does nothing else.
How it is at 5 million reads is a command of its own: --reads 5000000.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.generated_reads import generated_pair
from bench.local_runs import PeakMemory, own_stack, step_times
from bench.peers import RESULTS, ROOT, Result, middle, write
from runtime.keys import StepKeys
from trivium.local.stack import SLOTS
from trivium.target import Target
from trivium.upload import upload
from trivium.watching import Watch

SIZES = (100_000, 1_000_000)
FIRST_READS = 10_000
GOAL = 1.1


def orchestrated(target: Target, files: list[Path], clusters: Path) -> dict[str, Any]:
    """Run the sample on the stack; bring its clusters and return what it took."""
    with PeakMemory() as memory:
        begun_s = time.time()
        run = upload(target, "read-clustering", files, {"objective": "time"})
        watch = Watch(target.stack, run)
        for _ in watch.follow():
            pass
        item = watch.item()
    if item["status"] != "succeeded":
        raise SystemExit(f"run {run} failed: {item['reason']}")
    store = target.stack.store
    shards = store.get_json(StepKeys(run, "spectral").output)["shards"]
    key = next(key for key, _ in shards if key.endswith("clusters.tsv.gz"))
    store.download(key, clusters)
    return {
        "s": float(item["ended_s"]) - begun_s,
        "upload_s": float(item["started_s"]) - begun_s,
        "report_s": float(item["ended_s"])
        - step_times(target, run)[-1].ended_s
        - float(item["started_s"]),
        "steps": [asdict(step) | {"around_s": step.around_s} for step in step_times(target, run)],
        "peak_mb": memory.megabytes(),
    }


def scripted(files: list[Path], output: Path) -> dict[str, Any]:
    """Run the plain script; return what it took."""
    shutil.rmtree(output, ignore_errors=True)
    words = [sys.executable, "-m", "bench.plain_script", str(output), str(SLOTS)]
    begun_s = time.perf_counter()
    done = subprocess.run(
        [*words, *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    if done.returncode != 0:
        raise SystemExit(f"the plain script failed: {done.stderr[-2000:]}")
    return {"s": time.perf_counter() - begun_s, "steps": json.loads(done.stdout.splitlines()[-1])}


def show(reads: int, run: dict[str, Any], script: dict[str, Any]) -> None:
    """Print where the time of one run went, beside the script's, and the peaks of memory."""
    print(f"{reads:,} reads: run {run['s']:.1f} s, script {script['s']:.1f} s")
    print(
        f"{'step':10}{'on':8}{'script':>8}{'run':>8}{'compute':>9}{'transfer':>9}{'start-up':>9}"
        f"{'queue':>8}{'around':>8}"
    )
    for step in run["steps"]:
        alone = script["steps"][step["name"]]
        print(
            f"{step['name']:10}{step['platform']:8}{alone['s']:8.1f}"
            f"{step['ended_s'] - step['ready_s']:8.1f}{step['compute_s']:9.1f}"
            f"{step['transfer_s']:9.1f}{step['startup_s']:9.1f}{step['queue_s']:8.1f}"
            f"{step['around_s']:8.1f}"
        )
    before = run["steps"][0]["ready_s"]
    print(
        f"upload {run['upload_s']:.1f} s, admission and plan {before:.1f} s, report "
        f"{run['report_s']:.1f} s"
    )
    print(
        "peak MB of a process: "
        + ", ".join(f"{kind} {mb:.0f}" for kind, mb in run["peak_mb"].items())
    )
    last = max(step["peak_mb_so_far"] for step in script["steps"].values())
    print(f"peak MB of a process of the script: {last:.0f}")


def main() -> None:
    """Read the command line, compare and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--runs", type=int, default=1)
    given = parser.parse_args()
    work = RESULTS / "run_vs_script"
    found: dict[str, list[dict[str, Any]]] = {}
    results = []
    samples = {reads: generated_pair(reads) for reads in given.reads}
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with own_stack() as target:
        orchestrated(target, generated_pair(FIRST_READS), work / "clusters.tsv.gz")
        scripted(generated_pair(FIRST_READS), work / "script")
        for reads, files in samples.items():
            rounds = found.setdefault(str(reads), [])
            for _ in range(given.runs):
                run = orchestrated(target, files, work / "clusters.tsv.gz")
                script = scripted(files, work / "script")
                expected = (work / "script" / "clusters" / "clusters.tsv.gz").read_bytes()
                if (work / "clusters.tsv.gz").read_bytes() != expected:
                    raise SystemExit("the run and the script give different clusters")
                show(reads, run, script)
                rounds.append({"run": run, "script": script})
            ours, peer = (middle([one[of]["s"] for one in rounds]) for of in ("run", "script"))
            results.append(
                Result(f"run_{reads}_reads", ours, peer, ours / peer, GOAL, "s clock", at_most=True)
            )
    shutil.rmtree(work)
    write(results, found)


if __name__ == "__main__":
    main()
