"""Uploads of every kind at once: each that is wrong ends in its sentence, and the good one well."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass

import pytest

from reporting.terminal import placement_table
from runtime.keys import RunKeys, StepKeys
from tests import inputs
from tests.e2e.test_runs import only_output, put, report_of, wait_for_end
from trivium.console import out
from trivium.reports import read_report
from trivium.target import Target

pytestmark = pytest.mark.timeout(600)

READS = {case.what: case for case in inputs.READ_INPUTS}


@dataclass(frozen=True)
class Wrong:
    """An upload that is refused, or that its first step refuses; `key` is what starts the run."""

    key: str
    content: bytes
    says: str
    beside: tuple[tuple[str, bytes], ...] = ()
    planned: bool = False


def refused(what: str) -> Wrong:
    key, content = inputs.UPLOADS[what]
    return Wrong(key, content, inputs.upload_sentence(key, content))


def of_reads(number: int, what: str) -> Wrong:
    """Return an upload of reads, in a folder of its own where it has several files."""
    case, files = READS[what], READS[what].make()
    assert isinstance(case.says, str)
    says = f"Step cut failed: {case.says}"
    folder = f"raw/read-clustering/wrong-{number}"
    manifest = json.dumps({"files": sorted(files), "place": {"cut": "lambda"}}).encode()
    beside = tuple((f"{folder}/{name}", content) for name, content in files.items())
    return Wrong(f"{folder}/manifest.json", manifest, says, beside, planned=True)


# Each starts a run of five machines; the readers' own tests have all of them.
WRONG_READS = ("gzip that was cut short", "a gzip bomb", "mates' files of unequal length")
WRONG_UPLOADS = (
    "a file name of 900 characters",
    "a file outside the manifest's folder",
)


def test_wrong_uploads_end_in_their_sentences_and_leave_a_good_one_alone(target: Target) -> None:
    text = "the quick brown fox\n" * 500
    wrong = [refused(what) for what in WRONG_UPLOADS]
    wrong += [of_reads(number, what) for number, what in enumerate(WRONG_READS)]
    for one in wrong:
        for key, content in one.beside:
            put(target, key, content)
    runs = {put(target, one.key, one.content): one for one in wrong[:3]}
    good = put(target, "raw/word-count/ +%2F ü 日本.txt", text.encode())
    runs |= {put(target, one.key, one.content): one for one in wrong[3:]}
    for run, one in runs.items():
        item = wait_for_end(target, run)
        assert (item["status"], item["reason"]) == ("failed", one.says), one.key
        assert target.stack.store.find(RunKeys(run).report_json) is None or one.planned
        if one.planned:
            assert_told_and_nothing_left(target, run, one.says)
    assert wait_for_end(target, good)["status"] == "succeeded"
    counts = json.loads(only_output(target, good, "summary"))["counts"]
    assert counts == dict(Counter(text.split()))
    report_of(target, good)


def assert_told_and_nothing_left(target: Target, run: str, says: str) -> None:
    report = report_of(target, run)
    assert (report["status"], report["reason"]) == ("failed", says)
    attempts = [one["outcome"] for step in report["steps"] for one in step["attempts"]]
    assert attempts == ["failed"]  # not tried elsewhere, and nothing was started behind it
    with out.capture() as printed:
        out.print(placement_table(read_report(target.stack, run)[0]))
    assert " ".join(says.split()) in " ".join(printed.get().split())
    root = f"{StepKeys(run, 'cut').root}/out/"
    assert list(target.stack.store.listing(root)) == []


def test_a_sample_without_good_reads_is_told_so(target: Target) -> None:
    bad = b"".join(b"@r%d\n%s\n+\n%s\n" % (n, 50 * b"A", 50 * b"!") for n in range(9))
    run = put(target, "raw/read-clustering/all-bad.fastq.gz", gzip.compress(bad))
    item = wait_for_end(target, run)
    assert item["status"] == "failed"
    assert "no read is left after the quality filter" in item["reason"]
    assert "\n" not in item["reason"]
