"""Compare step `sketch` with sourmash sketching each fragment, per read.

    make .tools/peers/ready
    python -m bench.sketch_vs_sourmash [--reads N] [--runs N]

Both have the reads of a shard of interleaved pairs in memory: ours as the blocks that the step
works on, sourmash as strings. Ours keeps each fragment's minimizers (21-mers, window 8, so one of
4.5 k-mers), counts its 4-mers and takes its name; sourmash makes one MinHash a fragment (k 21,
scaled 5) and reads its hashes. Reading and writing of files is not timed. The hash functions differ
(splitmix64, MurmurHash3), and which k-mers are kept; what can be equal is equal: with window 1 and
scaled 1, where both keep every k-mer, each fragment must have as many different ones on both sides.
Compared are processor seconds on one core.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.generated_reads import generated_pair
from bench.peers import Result, in_turn, middle, peers_python, timed, write
from workflows.read_clustering import cut, sketch

GOAL = 8.0
PEER_PROGRAM = str(Path(__file__).with_name("sourmash_sketches.py"))
OUR_PROGRAM = """
import json, sys, time
from pathlib import Path
from workflows.read_clustering.fastq import read_records
from workflows.read_clustering.sketch import _sketch
blocks = list(read_records(Path(sys.argv[1]), 2))
begun_s = time.process_time()
sketches = [_sketch(records, 2, 21, 8) for records in blocks]
print(json.dumps({"cpu_s": time.process_time() - begun_s}))
"""


def check_same_kmers(shard: Path, work: Path) -> None:
    """Raise SystemExit unless both find as many different k-mers in every fragment."""
    sketch.run([shard], work / "every.npz", window=1)
    with np.load(work / "every.npz") as columns:
        ours = np.diff(columns["hash_offsets"]).tolist()
    said = timed([peers_python(), PEER_PROGRAM, str(shard), "1", "counts"]).said
    if json.loads(said)["counts"] != ours:
        raise SystemExit("sourmash and step sketch differ in the number of k-mers of a fragment")


def main() -> None:
    """Read the command line, compare and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    peers_python()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        counts = cut.run(generated_pair(given.reads), work / "shards", 10_000_000)
        (shard,) = sorted((work / "shards").iterdir())
        check_same_kmers(shard, work)

        def ours() -> float:
            words = [sys.executable, "-c", OUR_PROGRAM, str(shard)]
            return float(json.loads(timed(words).said)["cpu_s"])

        def sourmash() -> float:
            words = [peers_python(), PEER_PROGRAM, str(shard), "5", "time"]
            return float(json.loads(timed(words).said)["cpu_s"])

        found = in_turn(given.runs, ours=ours, sourmash=sourmash)
    reads = counts["reads"]
    print(f"{reads:,} reads in pairs, {given.runs} runs each, the same k-mers in every fragment")
    speeds = {name: reads / middle(several) for name, several in found.items()}
    ratio = speeds["ours"] / speeds["sourmash"]
    write(
        [Result("sketch", speeds["ours"], speeds["sourmash"], ratio, GOAL, "reads/s processor")],
        found,
    )


if __name__ == "__main__":
    main()
