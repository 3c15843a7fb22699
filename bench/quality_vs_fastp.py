"""Compare step `quality` with fastp doing the same work.

Usage: `python -m bench.quality_vs_fastp FILE...`. FILE is one FASTQ file of single reads, or two of
mates, plain or gzip. Both programs filter the same gzip input, in turn, RUNS times each, as
processes of their own; ours is one process over the shards of the input, which is cut beforehand.
Medians are shown: wall seconds, CPU seconds (user and system) and stored megabytes (10^6 bytes) per
second of either. fastp trims nothing (-A -G) but computes its statistics and its report, which
cannot be turned off, and writes with its default compression level 4; ours with python-isal's 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from workflows.read_clustering import cut

ROOT = Path(__file__).parents[1]
FILTER_SHARDS = """
import sys
from pathlib import Path
from workflows.read_clustering import quality
for shard in map(Path, sys.argv[2:]):
    quality.run([shard], Path(sys.argv[1]) / shard.name)
"""


def timed(words: list[str], output: Path) -> tuple[float, float, int]:
    """Run a command into the fresh folder `output`; return wall s, CPU s and bytes written."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    before, started = os.times(), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    wall_s, after = time.perf_counter() - started, os.times()
    cpu_s = after.children_user + after.children_system
    cpu_s -= before.children_user + before.children_system
    return wall_s, cpu_s, sum(file.stat().st_size for file in output.glob("*.gz"))


def fastp_words(files: list[Path], output: Path) -> list[str]:
    """Return the command that filters one file, or two of mates, into `output`."""
    words = ["fastp", "-w", "1", "-A", "-G", "-h", "/dev/null", "-j", "/dev/null"]
    for flags, file in zip((("-i", "-o"), ("-I", "-O")), files, strict=False):
        words += [flags[0], str(file), flags[1], str(output / f"{flags[1][1:]}.fq.gz")]
    return words


def compare(files: list[Path], runs: int, work: Path) -> None:
    """Run both in turn and print the table."""
    cut.run(files, work / "shards")
    shards = sorted(map(str, (work / "shards").iterdir()))
    output = work / "output"
    start = [sys.executable, "-c", "import workflows.read_clustering.quality"]
    commands = {
        "quality": [sys.executable, "-c", FILTER_SHARDS, str(output), *shards],
        "fastp -w 1 -A -G": fastp_words(files, output),
        "(quality's imports)": start,
    }
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, words in commands.items():
            results[name].append(timed(words, output))
    stored_mb = sum(file.stat().st_size for file in files) / 1e6
    print(f"{' '.join(file.name for file in files)}: {stored_mb:.2f} MB stored, {runs} runs each")
    print(f"{'':22}{'wall s':>8}{'CPU s':>8}{'MB/s wall':>11}{'MB/s CPU':>11}{'MB out':>8}")
    medians = {}
    for name, rows in results.items():
        wall_s, cpu_s, out_bytes = (median(column) for column in zip(*rows, strict=True))
        medians[name] = wall_s, cpu_s
        print(
            f"{name:22}{wall_s:8.3f}{cpu_s:8.3f}{stored_mb / wall_s:11.1f}{stored_mb / cpu_s:11.1f}"
            f"{out_bytes / 1e6:8.2f}"
        )
    ours, theirs = medians["quality"], medians["fastp -w 1 -A -G"]
    ratios = f"{theirs[0] / ours[0]:.2f} times the wall time, {theirs[1] / ours[1]:.2f} times"
    print(f"fastp takes {ratios} the CPU time of quality, start-up included")


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    if shutil.which("fastp") is None:
        sys.exit("fastp is not installed (Debian: apt-get install fastp)")
    with tempfile.TemporaryDirectory() as work:
        compare([file.resolve() for file in arguments.files], arguments.runs, Path(work))


if __name__ == "__main__":
    main()
