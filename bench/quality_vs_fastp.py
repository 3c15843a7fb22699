"""Compare step `quality` with fastp doing the same work, both on one core.

    apt-get install fastp
    python -m bench.quality_vs_fastp [FILE...] [--runs N]

FILE is one FASTQ file of single reads, or two of mates, plain or gzip; without, pairs are
generated. Both programs filter the same gzip input, in turn, as processes of their own; ours is one
process over the shards of the input, which is cut beforehand. fastp runs with one worker (-w 1) and
trims nothing (-A -G), but computes its statistics and its report, which cannot be turned off, and
writes with its default compression level 4; ours with python-isal's 1. The reads kept must be the
same, byte for byte. Compared are reads per processor second, start-up included.
"""

import argparse
import gzip
import shutil
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

from bench.generated_reads import generated_pair
from bench.peers import Result, Took, in_turn, middle, timed, write
from workflows.read_clustering import cut

GOAL = 2.0
FILTER_SHARDS = """
import sys
from pathlib import Path
from workflows.read_clustering import quality
for shard in map(Path, sys.argv[2:]):
    quality.run([shard], Path(sys.argv[1]) / shard.name)
"""


def into(output: Path, words: list[str]) -> Took:
    """Run a command that writes into the folder `output`, which is made anew."""
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    return timed(words)


def fastp_words(files: list[Path], output: Path) -> list[str]:
    """Return the command that filters one file, or two of mates, into `output`."""
    words = ["fastp", "-w", "1", "-A", "-G", "-h", "/dev/null", "-j", "/dev/null"]
    for flags, file in zip((("-i", "-o"), ("-I", "-O")), files, strict=False):
        words += [flags[0], str(file), flags[1], str(output / f"{flags[1][1:]}.fq.gz")]
    return words


def records(file: Path) -> Iterator[bytes]:
    """Yield a FASTQ file's records."""
    with gzip.open(file) as lines:
        while head := lines.readline():
            yield head + lines.readline() + lines.readline() + lines.readline()


def check_same_reads(ours: Path, fastp: Path) -> None:
    """Raise SystemExit unless both kept the same reads in the same order."""
    kept = chain.from_iterable(map(records, sorted(ours.iterdir())))
    mates = [records(file) for file in sorted(fastp.iterdir(), key=lambda file: file.name.lower())]
    if len(mates) == 2:  # noqa: PLR2004 - o.fq.gz and O.fq.gz
        mates = [records(fastp / "o.fq.gz"), records(fastp / "O.fq.gz")]
    theirs = chain.from_iterable(zip(*mates, strict=True))
    if any(a != b for a, b in zip_longest(kept, theirs)):
        raise SystemExit("fastp and step quality keep different reads")


def compare(files: list[Path], runs: int, work: Path) -> None:
    """Run both in turn and write the result."""
    counts = cut.run(files, work / "shards")
    shards = sorted(map(str, (work / "shards").iterdir()))
    kept, theirs = work / "ours", work / "fastp"
    found = in_turn(
        runs,
        ours=lambda: into(kept, [sys.executable, "-c", FILTER_SHARDS, str(kept), *shards]),
        fastp=lambda: into(theirs, fastp_words(files, theirs)),
    )
    check_same_reads(kept, theirs)
    reads = counts["reads"]
    print(
        f"{' '.join(file.name for file in files)}: {reads:,} reads, {runs} runs each, same output"
    )
    for name, several in found.items():
        clock_s, cpu_s = (
            middle([getattr(one, of) for one in several]) for of in ("clock_s", "cpu_s")
        )
        print(f"{name:8} {clock_s:7.2f} s clock {cpu_s:7.2f} s processor")
    speeds = {
        name: reads / middle([one.cpu_s for one in several]) for name, several in found.items()
    }
    ratio = speeds["ours"] / speeds["fastp"]
    write(
        [Result("quality", speeds["ours"], speeds["fastp"], ratio, GOAL, "reads/s processor")],
        {name: [[one.clock_s, one.cpu_s] for one in several] for name, several in found.items()},
    )


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    if shutil.which("fastp") is None:
        raise SystemExit("fastp is not installed; on Debian: apt-get install fastp")
    files = [file.resolve() for file in arguments.files] or generated_pair(400_000)
    with tempfile.TemporaryDirectory() as work:
        compare(files, arguments.runs, Path(work))


if __name__ == "__main__":
    main()
