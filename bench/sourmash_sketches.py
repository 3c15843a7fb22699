"""Sketch each pair of a shard with sourmash: python sourmash_sketches.py SHARD SCALED time|counts.

Runs in the peers' environment. Prints a JSON line: the processor seconds of the sketching alone,
or how many hashes each fragment has.
"""

import gzip
import json
import sys
import time
from pathlib import Path

from sourmash import MinHash

KMER_BASES = 21


def main(shard: Path, scaled: int, wanted: str) -> None:
    """Read the shard, then sketch it."""
    with gzip.open(shard, "rt") as lines:
        sequences = [line.rstrip("\n") for number, line in enumerate(lines) if number % 4 == 1]
    begun_s = time.process_time()
    counts = []
    for number in range(0, len(sequences), 2):
        fragment = MinHash(n=0, ksize=KMER_BASES, scaled=scaled)
        fragment.add_sequence(sequences[number], force=True)
        fragment.add_sequence(sequences[number + 1], force=True)
        counts.append(len(fragment.hashes))
    cpu_s = time.process_time() - begun_s
    print(json.dumps({"cpu_s": cpu_s} if wanted == "time" else {"counts": counts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
