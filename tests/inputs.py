"""What may be wrong with an input, and the sentence that it gives: `docs/inputs.md` as data.

`python -m tests.inputs` writes that page; a test compares it with what the readers say.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from control.upload import read_upload
from placement.errors import UserError
from placement.planner import plan
from placement.situation import Situation
from placement.workflow_file import load_workflow
from workflows.read_clustering import cut
from workflows.read_clustering.spectral.score import read_truth

PAGE = Path(__file__).parents[1] / "docs" / "inputs.md"
MEGABYTE = 1 << 20
READS = b"".join(b"@r%d\n%s\n+\n%s\n" % (n, b"ACGT" * 25, b"I" * 100) for n in range(50))
PACKED = gzip.compress(READS, mtime=0)


def bgzip(content: bytes) -> bytes:
    """Return content as bgzip writes it: a gzip member per block, with its size in it."""
    blocks = [content[at : at + 65_000] for at in range(0, len(content), 65_000)]
    return b"".join(map(_bgzip_block, [*blocks, b""]))


def _bgzip_block(block: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = deflate.compress(block) + deflate.flush()
    head = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(data) + 25)
    return head + data + struct.pack("<II", zlib.crc32(block), len(block))


def packed(pieces: Iterable[bytes]) -> bytes:
    """Return what the pieces pack to, a gzip member each, without ever holding them all."""
    pack = cache(lambda piece: gzip.compress(piece, mtime=0))
    return b"".join(map(pack, pieces))


def long_name() -> bytes:
    """Return one read whose name has 4 GB, as 4 MB of gzip."""
    return packed([b"@", *(4096 * [b"n" * MEGABYTE]), b"\nACGT\n+\nIIII\n"])


def bomb() -> bytes:
    """Return 300 MB of reads as 0.3 MB of gzip."""
    reads = (b"@\n%s\n+\n%s\n" % (150 * b"A", 150 * b"I")) * 10_000
    return packed(100 * [reads])


type Make = Callable[[], Mapping[str, bytes]]


@dataclass(frozen=True)
class Reads:
    """Files of reads, and what `cut` says of them: a sentence, or how many reads there are."""

    what: str
    make: Make
    says: str | int


def one(content: bytes, name: str = "a.fastq.gz") -> Make:
    return lambda: {name: content}


READ_INPUTS = (
    Reads("plain text", one(READS, "a.fastq"), 50),
    Reads("gzip", one(PACKED), 50),
    Reads(
        "several gzip members in one file",
        one(gzip.compress(READS[:999], mtime=0) + gzip.compress(READS[999:], mtime=0)),
        50,
    ),
    Reads("bgzip", one(bgzip(READS)), 50),
    Reads("Windows line ends", one(READS.replace(b"\n", b"\r\n"), "a.fastq"), 50),
    Reads("one read", one(b"@r\nACGT\n+\nIIII\n", "a.fastq"), 1),
    Reads("an empty file", one(b""), "a.fastq.gz: has no reads; upload the file again"),
    Reads(
        "gzip of nothing",
        one(gzip.compress(b"", mtime=0)),
        "a.fastq.gz: has no reads; upload the file again",
    ),
    Reads(
        "gzip that was cut short",
        one(PACKED[:-20]),
        "a.fastq.gz: the gzip data end too early, in or after record 1; the file is truncated, "
        "upload it again",
    ),
    Reads(
        "gzip with a wrong byte",
        one(PACKED[:-6] + bytes([PACKED[-6] ^ 1]) + PACKED[-5:]),
        "a.fastq.gz: the gzip data are damaged, in or after record 1 (CRC check failed 1181209397 "
        "!= 1181143861); upload the file again",
    ),
    Reads(
        "another compression",
        one(b"BZh91AY&SY"),
        "a.fastq.gz: compressed with bzip2; give it plain or compressed with gzip",
    ),
    Reads(
        "unequal lengths of bases and qualities",
        one(READS + b"@bad\nACGT\n+\nIII\n", "a.fastq"),
        "a.fastq: record 51 has 4 bases but 3 qualities; the file is damaged",
    ),
    Reads(
        "a record without its last line",
        one(READS + b"@bad\nACGT\n+\n", "a.fastq"),
        "a.fastq: record 51 has only 3 of its 4 lines; the file is truncated, upload it again",
    ),
    Reads(
        "FASTA",
        one(b">s\nACGT\n", "a.fastq"),
        "a.fastq: record 1 is FASTA, not FASTQ; give reads with qualities",
    ),
    Reads(
        "binary rubbish",
        one(bytes(range(256)) * 100, "a.fastq"),
        "a.fastq: record 1 does not begin with '@'; the file is not FASTQ",
    ),
    Reads(
        "a read name of 4 GB",
        lambda: {"a.fastq.gz": long_name()},
        "a.fastq.gz: record 1 is over 64 MB, more than any read; check that the file is FASTQ",
    ),
    Reads(
        "a gzip bomb",
        lambda: {"a.fastq.gz": bomb()},
        "a.fastq.gz: unpacks to over 200 times its size, as no reads do, in or after record "
        "877241; check that the file is FASTQ",
    ),
    Reads(
        "mates' files of unequal length",
        lambda: {"a_R1.fastq": READS, "a_R2.fastq": READS[: READS.index(b"@r49")]},
        "a_R2.fastq ends after record 49, a_R1.fastq goes on: mates' files must have the same "
        "number of reads; upload both again",
    ),
    Reads(
        "mates in another order",
        lambda: {"a_R1.fastq": READS, "a_R2.fastq": READS.replace(b"@r0\n", b"@x\n")},
        "a_R1.fastq and a_R2.fastq: record 1 is 'r0' in one and 'x' in the other; give mates in "
        "the same order, or rename the files if they are not mates",
    ),
)


def cut_reads(files: Mapping[str, bytes], folder: Path) -> int:
    """Cut files as the first step of read-clustering does; return how many reads there are.

    Raises:
        UserError: a file is malformed.

    """
    paths = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        paths.append(path)
    return cut.run(paths, folder / "out")["reads"]


TRUTHS = {
    "no header": (b"", "a.truth.tsv needs a header line with a read id and an origin"),
    "a line with too few columns": (
        b"id\torigin\nr1\n",
        "a.truth.tsv line 2 has fewer columns than the header",
    ),
    "not UTF-8": (
        b"id\torigin\n\xff\xfe\tx\n",
        "a.truth.tsv is not text in UTF-8; save it as such",
    ),
    "a line without end": (
        b"id\torigin\nr" + MEGABYTE * b"x",
        (
            "a.truth.tsv line 2 is longer than 100,000 characters; check that the file is "
            "tab-separated text"
        ),
    ),
}


def truth_sentence(content: bytes, folder: Path, name: str = "a.truth.tsv") -> str:
    """Return what is said of a file of known origins."""
    path = folder / name
    path.write_bytes(content)
    return sentence(lambda: read_truth(path, {"r1"}))


ONE_STEP = "name: w\nsteps:\n  s: {kind: map, run: m:f%s}\n"
WORKFLOWS = {
    "steps in a circle": (
        "name: w\nsteps:\n  a: {kind: map, run: m:f, over: b}\n"
        "  b: {kind: map, run: m:f, over: a}\n"
    ),
    "a step that is not there": (
        "name: w\nsteps:\n  count: {kind: map, run: m:f}\n"
        "  sum: {kind: map, run: m:f, over: cuont}\n"
    ),
    "a unit": ONE_STEP % ", profile: {memory_mb: 2 GB}",
    "a figure below zero": ONE_STEP % ", profile: {memory_mb: -1}",
    "a platform that there is not": ONE_STEP % ", platforms: [lamda]",
    "a field that there is not": ONE_STEP % ", platform: [lambda]",
    "a YAML bomb": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "nesting without end": "a: " + 1000 * "[",
    "more text than any workflow": "#" * 1_000_001,
    "a key that stands twice": "name: w\nname: v\n",
    "no YAML": "name: [",
    "binary": "\0\1\2",
}

UNPLANNABLE = {
    "a step that fits no platform which it allows": (
        ", platforms: [lambda], profile: {memory_mb: 20000}"
    ),
    "more shards than can be planned": ", profile: {shards_per_mb: 1.0e+9}, with: [upload.x]",
}


def workflow_sentence(text: str) -> str:
    """Return what is said of a workflow file."""
    return sentence(lambda: load_workflow(text, "w.yaml"))


def plan_sentence(step: str) -> str:
    """Return what the planner says of a workflow with one such step and 1 MB of input."""
    text = (ONE_STEP % step).replace("steps:", 'inputs: {x: {files: ["*"]}}\nsteps:')
    workflow = load_workflow(text, "w.yaml")
    return sentence(lambda: plan(workflow, Situation({"x": (1_000_000,)}, (), 4)))


FOLDER = "raw/word-count/sample"
UPLOADS: dict[str, tuple[str, bytes]] = {
    "a key with `..`": ("raw/word-count/../a.txt", b""),
    "a key without a workflow": ("raw/a.txt", b""),
    "a file name of 900 characters": (f"raw/word-count/{'n' * 900}.txt", b""),
    "a file name with a line end": ("raw/word-count/a\nb.txt", b""),
    "a manifest that is not JSON": (f"{FOLDER}/manifest.json", b"{"),
    "a manifest that is nested without end": (f"{FOLDER}/manifest.json", 100_000 * b"["),
    "a manifest without files": (f"{FOLDER}/manifest.json", b"{}"),
    "a file outside the manifest's folder": (
        f"{FOLDER}/manifest.json",
        json.dumps({"files": ["../../secret"]}).encode(),
    ),
    "a file that is named twice": (
        f"{FOLDER}/manifest.json",
        json.dumps({"files": ["a.txt", "a.txt"]}).encode(),
    ),
    "an option that there is not": (
        f"{FOLDER}/manifest.json",
        json.dumps({"files": ["a.txt"], "plaec": {}}).encode(),
    ),
    "a sample sheet that is not text": (f"{FOLDER}/samplesheet.csv", b"\xff\xfe"),
    "a sample sheet without files": (f"{FOLDER}/samplesheet.csv", b"name\nx\n"),
}


def upload_sentence(key: str, content: bytes) -> str:
    """Return what is said of an upload under a key."""
    return sentence(lambda: read_upload(key, lambda: content))


def sentence(read: Callable[[], object]) -> str:
    """Return what is said of an input that is refused."""
    try:
        read()
    except UserError as error:
        return str(error)
    raise AssertionError("it was not refused")


def page() -> str:
    """Return `docs/inputs.md`, with what the readers really say."""
    with tempfile.TemporaryDirectory() as folder:
        truths = {
            what: truth_sentence(content, Path(folder)) for what, (content, _) in TRUTHS.items()
        }
    read = {
        case.what: f"read: {case.says} reads" if isinstance(case.says, int) else case.says
        for case in READ_INPUTS
    }
    workflows = {what: workflow_sentence(text) for what, text in WORKFLOWS.items()}
    workflows |= {what: plan_sentence(step) for what, step in UNPLANNABLE.items()}
    uploads = {what: upload_sentence(*upload) for what, upload in UPLOADS.items()}
    return PAGE_TEXT.format(
        reads=_table(read),
        truths=_table(truths),
        workflows=_table(workflows),
        uploads=_table(uploads),
    )


def _table(said: Mapping[str, str]) -> str:
    rows = [f"| {what} | {text.replace('|', chr(92) + '|')} |" for what, text in said.items()]
    return "\n".join(["| input | what is said |", "| --- | --- |", *rows])


PAGE_TEXT = """\
# Inputs

Whatever is uploaded, a run ends with a result or with one sentence that says what is wrong, where,
and what to do. The sentence stands in the terminal (`trivium run`, `trivium runs`), in the report
and in the ledger; a run that is refused at once has no report. A wrong input is not tried on other
platforms. Nothing half-written is left for a next step, and other runs go on.

`trivium run` refuses wrong options and names before it uploads anything, with exit code 2; a run
that fails has exit code 1. Readers work in blocks: a file of reads takes less than 500 MB of
memory, whatever is in it, and at most 200 times its size is ever unpacked. This page is written by
`python -m tests.inputs`; a test compares it with what the code says.

## Reads (`read-clustering`)
{reads}

A sample of which no read is left after the filter, and whose clustering therefore has nothing to
do, fails with "no read is left after the quality filter, so there is nothing to cluster; check the
reads' qualities and lengths". One read is one cluster. Reads of one genome alone are no error.

## Known origins (`*.truth.tsv`)
{truths}

## Workflow files
{workflows}

## Keys and manifests
{uploads}

Keys with spaces, `+`, `%` and any letters are taken as they are. A file below
`raw/WORKFLOW/FOLDER/` starts nothing by itself. A manifest has at most 2 MB, and names at most
1,000 files.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
