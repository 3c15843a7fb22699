"""Ten runs uploaded at once to a local stack: each succeeds with the clusters of one run alone.

    python -m bench.ten_runs [--reads N] [--runs N]

Prints the time of one run alone and of all ten, and the peak memory of a process of each kind. A
run before them starts what is then warm and compiles what a machine compiles once. Ten
runs share the machine's cores, so "ours" is the time of all, "peer" ten times that of one alone.
"""

import argparse
import time

from bench.generated_reads import generated_pair
from bench.local_runs import PeakMemory, own_stack
from bench.peers import Result, write
from runtime.keys import StepKeys
from trivium.target import Target
from trivium.upload import upload
from trivium.watching import Watch

LOOK_EVERY_S = 2.0


def all_ended(target: Target, runs: list[str]) -> None:
    """Wait until every run has ended.

    Raises:
        SystemExit: one failed.

    """
    for run in runs:
        watch = Watch(target.stack, run)
        for _ in watch.follow():
            time.sleep(LOOK_EVERY_S)
        item = watch.item()
        if item["status"] != "succeeded":
            raise SystemExit(f"run {run} failed: {item['reason']}")


def clusters(target: Target, run: str) -> bytes:
    """Return the clusters that a run has found."""
    store = target.stack.store
    shards = store.get_json(StepKeys(run, "spectral").output)["shards"]
    return store.get_bytes(next(key for key, _ in shards if key.endswith("clusters.tsv.gz")))


def main() -> None:
    """Read the command line, run and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    files = generated_pair(given.reads)
    with own_stack() as target:
        all_ended(target, [upload(target, "read-clustering", files, {})])
        begun_s = time.perf_counter()
        alone = upload(target, "read-clustering", files, {})
        all_ended(target, [alone])
        one_s = time.perf_counter() - begun_s
        with PeakMemory() as memory:
            begun_s = time.perf_counter()
            runs = [upload(target, "read-clustering", files, {}) for _ in range(given.runs)]
            all_ended(target, runs)
            all_s = time.perf_counter() - begun_s
        expected = clusters(target, alone)
        wrong = [run for run in runs if clusters(target, run) != expected]
        if wrong:
            raise SystemExit(f"{', '.join(wrong)}: other clusters than those of a run alone")
    print(f"{given.runs} runs of {given.reads:,} reads at once, all with the same clusters")
    for kind, megabytes in memory.megabytes().items():
        print(f"{kind:20}{megabytes:8.0f} MB at most in one process")
    in_a_row_s = given.runs * one_s
    write(
        [Result("ten_runs", all_s, in_a_row_s, all_s / in_a_row_s, 1.0, "s clock", at_most=True)],
        {"one_s": one_s, "all_s": all_s, "peak_mb": memory.megabytes()},
    )


if __name__ == "__main__":
    main()
