"""The filter keeps what the real fastp keeps: reads made to lie near its limits, and real ones.

The real reads come from the folder that TRIVIUM_SHARED_READS names, and from the demo.
"""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from workflows.read_clustering import cut, quality

FASTP = shutil.which("fastp")
DEMO = Path(quality.__file__).parent / "demo"
SHARED = os.environ.get("TRIVIUM_SHARED_READS")
FASTP_NAMES = {
    "reads_out": "passed_filter_reads",
    "low_quality": "low_quality_reads",
    "too_many_n": "too_many_N_reads",
    "too_short": "too_short_reads",
}

pytestmark = pytest.mark.skipif(FASTP is None, reason="fastp is not installed (Debian: fastp)")


def text_of(paths: list[Path]) -> bytes:
    return b"".join(gzip.decompress(path.read_bytes()) for path in paths)


def by_fastp(files: list[Path], folder: Path) -> tuple[list[bytes], dict[str, int]]:
    outputs = [folder / f"fastp_{i}.fq.gz" for i in range(len(files))]
    words = ["fastp", "-A", "-G", "-w", "1", "-h", "/dev/null", "-j", str(folder / "fastp.json")]
    for flags, input_, output in zip((("-i", "-o"), ("-I", "-O")), files, outputs, strict=False):
        words += [flags[0], str(input_), flags[1], str(output)]
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    report = json.loads((folder / "fastp.json").read_text())["filtering_result"]
    return [text_of([output]) for output in outputs], report


def by_us(files: list[Path], folder: Path) -> tuple[list[bytes], dict[str, int]]:
    cut.run(files, folder / "cut", reads_per_shard=7000)
    (folder / "kept").mkdir()
    counts: dict[str, int] = {}
    for shard in sorted((folder / "cut").iterdir()):
        for name, count in quality.run([shard], folder / "kept" / shard.name).items():
            counts[name] = counts.get(name, 0) + count
    lines = text_of(sorted((folder / "kept").iterdir())).splitlines(keepends=True)
    records = [b"".join(lines[i : i + 4]) for i in range(0, len(lines), 4)]
    mates = len(files)
    return [b"".join(records[mate::mates]) for mate in range(mates)], counts


def check(files: list[Path], folder: Path) -> dict[str, int]:
    expected, report = by_fastp(files, folder)
    kept, counts = by_us(files, folder)
    assert kept == expected
    assert {name: counts[name] for name in FASTP_NAMES} == {
        name: report[theirs] for name, theirs in FASTP_NAMES.items()
    }
    return counts


def near_the_limits(path: Path, seed: int, count: int = 4000) -> Path:
    """Write reads of 1 to 60 bases with about 40 % low qualities and about 5 N, some lower case."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(count):
        size = int(rng.integers(1, 61))
        bases = rng.choice(list("ACGTacgtn"), size)
        bases[rng.permutation(size)[: rng.integers(0, 8)]] = "N"
        qualities = rng.choice(list("0:J~"), size)
        low = max(0, 2 * size // 5 + int(rng.integers(-2, 3)))
        qualities[rng.permutation(size)[:low]] = rng.choice(list("!#/"))
        records.append(f"@read{i} {seed}\n{''.join(bases)}\n+\n{''.join(qualities)}\n")
    path.write_bytes(gzip.compress("".join(records).encode()))
    return path


def test_single_reads_near_the_limits(tmp_path: Path) -> None:
    counts = check([near_the_limits(tmp_path / "x.fq.gz", 1)], tmp_path)
    assert all(counts[name] > 50 for name in FASTP_NAMES)  # every rule has been tried


def test_pairs_near_the_limits(tmp_path: Path) -> None:
    mates = [near_the_limits(tmp_path / f"x_{mate}.fq.gz", mate) for mate in (1, 2)]
    counts = check(mates, tmp_path)
    assert all(counts[name] > 50 for name in FASTP_NAMES)


def test_the_demo_reads(tmp_path: Path) -> None:
    mates = [DEMO / f"demo_R{mate}.fastq.gz" for mate in (1, 2)]
    if not mates[0].exists():
        pytest.skip(f"no demo reads at {mates[0]}")
    check(mates, tmp_path)


@pytest.mark.skipif(SHARED is None, reason="TRIVIUM_SHARED_READS names no folder of reads")
@pytest.mark.parametrize(
    "names",
    [
        ["SRR059298_subset.fastq.gz"],
        ["lambda_reads_1.fq.gz"],
        ["viral10_R1.fastq.gz"],
        ["viral10_R1.fastq.gz", "viral10_R2.fastq.gz"],
    ],
    ids=["72-base reads", "reads of mixed length", "one mate alone", "pairs"],
)
def test_shared_reads(tmp_path: Path, names: list[str]) -> None:
    assert SHARED is not None
    check([Path(SHARED) / name for name in names], tmp_path)
