"""Whole runs on the local stack, started by plain uploads as any S3 client makes them."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reporting.probing.probe_file import probe_file_json, probe_schema_text
from reporting.probing.result import MeasuredShard
from reporting.report import check_totals, parse_report
from runtime.keys import RunKeys, StepKeys, run_id
from runtime.ledger import Ledger
from runtime.requests import Aws
from trivium.local import stack as local
from trivium.probing import probe_result
from trivium.target import Target
from trivium.upload import upload

pytestmark = pytest.mark.timeout(900)

DEMO = local.root() / "workflows" / "read_clustering" / "demo"


def put(target: Target, key: str, body: bytes) -> str:
    """Upload an object; return the name of the run that its event starts."""
    store = target.stack.store
    answer = target.stack.aws.client("s3").put_object(Bucket=store.bucket, Key=key, Body=body)
    return run_id(key.split("/")[1], store.bucket, key, answer["VersionId"])


def wait_for_end(target: Target, run: str, timeout_s: float = 600) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        item = target.stack.ledger.get(f"run#{run}", "run")
        if item is not None and item["status"] != "running":
            return item
        time.sleep(0.5)
    raise AssertionError(f"{run} has not ended after {timeout_s} s")


def report_of(target: Target, run: str) -> dict[str, Any]:
    raw = target.stack.store.get_json(RunKeys(run).report_json)
    check_totals(parse_report(raw))
    return dict(raw)


def only_output(target: Target, run: str, step: str) -> bytes:
    shards = target.stack.store.get_json(StepKeys(run, step).output)["shards"]
    assert len(shards) == 1
    return target.stack.store.get_bytes(shards[0][0])


def statuses(root: Aws, target: Target, run: str) -> list[str]:
    """Return the statuses of the executions of a run's steps."""
    client = root.client("stepfunctions")
    pages = client.get_paginator("list_executions").paginate(
        stateMachineArn=target.outputs["StepMachineArn"]
    )
    return [
        execution["status"]
        for page in pages
        for execution in page["executions"]
        if execution["name"].startswith(run)
    ]


def test_a_text_under_an_odd_key_comes_out_counted(target: Target) -> None:
    text = "the quick brown fox\njumps over the lazy dog\n" * 3000
    run = put(target, "raw/word-count/a b+c%20é.txt", text.encode())
    assert wait_for_end(target, run)["status"] == "succeeded"
    summary = json.loads(only_output(target, run, "summary"))
    assert summary["counts"] == dict(Counter(text.split()))
    assert summary["lines"] == 6000
    assert report_of(target, run)["score"] is None


def test_a_file_that_is_written_over_goes_on_as_it_was(target: Target) -> None:
    key, text = "raw/word-count/overwritten.txt", "as it was\n" * 5000
    run = put(target, key, text.encode())
    deadline = time.monotonic() + 60
    while target.stack.ledger.get(f"run#{run}", "run") is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    later = put(target, key, b"as it is now\n")
    assert wait_for_end(target, run)["status"] == "succeeded"
    counts = json.loads(only_output(target, run, "summary"))["counts"]
    assert counts == dict(Counter(text.split()))
    assert wait_for_end(target, later)["status"] == "succeeded"
    counts = json.loads(only_output(target, later, "summary"))["counts"]
    assert counts == {"as": 1, "it": 1, "is": 1, "now": 1}


def test_an_event_delivered_again_runs_nothing_again(target: Target, root: Aws) -> None:
    key = "raw/word-count/twice.txt"
    run = put(target, key, b"once\n")
    first = wait_for_end(target, run)
    attempts = target.stack.ledger.query(f"run#{run}", "attempt#")
    bucket = target.stack.store.bucket
    version = root.client("s3").head_object(Bucket=bucket, Key=key)["VersionId"]
    client = root.client("stepfunctions")
    event = {
        "detail": {
            "bucket": {"name": bucket},
            "object": {"key": key, "version-id": version},
        }
    }
    again = [
        client.start_execution(
            stateMachineArn=target.outputs["WorkflowMachineArn"], input=json.dumps(event)
        )["executionArn"]
        for _ in range(3)
    ]
    for arn in again:
        while (ended := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
            time.sleep(0.2)
        assert ended["status"] == "SUCCEEDED"
    assert target.stack.ledger.get(f"run#{run}", "run") == first
    assert target.stack.ledger.query(f"run#{run}", "attempt#") == attempts


def test_a_file_in_a_folder_waits_for_its_manifest(target: Target) -> None:
    before = len(target.stack.ledger.query("runs"))
    put(target, "raw/word-count/sample/part1.txt", b"a b\n")
    put(target, "raw/word-count/sample/part2.txt", b"b c\n")
    manifest = json.dumps({"files": ["part1.txt", "part2.txt"], "objective": "time"}).encode()
    run = put(target, "raw/word-count/sample/manifest.json", manifest)
    assert wait_for_end(target, run)["status"] == "succeeded"
    summary = json.loads(only_output(target, run, "summary"))
    assert summary["counts"] == {"a": 1, "b": 2, "c": 1}
    assert len(target.stack.ledger.query("runs")) == before + 1


def test_a_truncated_upload_ends_in_one_sentence_and_leaves_others_alone(
    target: Target, root: Aws
) -> None:
    whole = gzip.compress(b"@r\nACGT\n+\nIIII\n" * 1000)
    run = put(target, "raw/read-clustering/broken.fastq.gz", whole[: len(whole) // 2])
    item = wait_for_end(target, run)
    assert item["status"] == "failed"
    assert "broken.fastq.gz" in item["reason"]
    assert "\n" not in item["reason"]
    report = report_of(target, run)
    assert report["status"] == "failed"
    assert [step["attempts"][0]["outcome"] for step in report["steps"] if step["attempts"]] == [
        "failed"
    ]
    deadline = time.monotonic() + 60
    while (states := Counter(statuses(root, target, run)))[
        "RUNNING"
    ] and time.monotonic() < deadline:
        time.sleep(0.5)
    assert states["RUNNING"] == 0
    assert states["FAILED"] > 0


def test_an_upload_for_no_workflow_is_refused_on_record(target: Target) -> None:
    run = put(target, "raw/no-such-workflow/a.txt", b"x")
    item = wait_for_end(target, run)
    assert item["status"] == "failed"
    assert "no-such-workflow" in item["reason"]


STATELESS = ("cut", "quality", "sketch")


def reads_of_two_kinds() -> dict[str, bytes]:
    """Return pairs and single reads: they make two shards, so that steps can be split."""
    mates = [
        gzip.decompress((DEMO / f"demo_R{mate}.fastq.gz").read_bytes()).splitlines(keepends=True)
        for mate in (1, 2)
    ]
    files = {f"few_R{n}.fastq.gz": mate[: 4 * 1500] for n, mate in enumerate(mates, 1)}
    files["single.fastq.gz"] = mates[0][4 * 1500 : 4 * 2500]
    return {name: gzip.compress(b"".join(lines), mtime=0) for name, lines in files.items()}


def all_outputs(target: Target, run: str) -> dict[str, Any]:
    """Return every output of every step, by step and place, and what each has counted."""
    found: dict[str, Any] = {}
    for step in (*STATELESS, "spectral"):
        keys = StepKeys(run, step)
        output = target.stack.store.get_json(keys.output)
        found[f"{step} counts"] = output["counts"]
        for key, _ in output["shards"]:
            content = target.stack.store.get_bytes(key)
            found[step + key.removeprefix(keys.root)] = content
    return found


def split_over_two(target: Target, root: Aws, run: str) -> None:
    """Have each step that maps over shards do half on Ray and half on Lambda, before it starts."""
    ledger = Ledger(root, target.outputs["Ledger"])
    deadline = time.monotonic() + 300
    while not (items := ledger.query(f"run#{run}", "step#")) or len(items) < len(STATELESS) + 1:
        assert time.monotonic() < deadline, "the run was not planned"
        time.sleep(0.05)
    sizes = {
        "lambda": {"memory_mb": 1024, "batches": 1},
        "ray": {"instance_type": "c7i.large", "nodes": 1, "slots": 2, "batches": 1},
    }
    parts = [
        {"platform": platform, "size": size, "share": 0.5, "estimate": None}
        for platform, size in sizes.items()
    ]
    for step in ("quality", "sketch"):
        ledger.set(f"run#{run}", f"step#{step}", {"placements": [parts]})


def test_any_placement_of_the_stateless_steps_gives_the_same_bytes(
    target: Target, root: Aws
) -> None:
    files = reads_of_two_kinds()
    outputs: dict[str, Any] = {}
    for name in ("lambda", "ray", "hpc", "split"):
        folder = f"raw/read-clustering/placed-{name}"
        for file, body in files.items():
            put(target, f"{folder}/{file}", body)
        place = dict.fromkeys(STATELESS, "lambda" if name == "split" else name)
        manifest = json.dumps({"files": sorted(files), "place": place}).encode()
        run = put(target, f"{folder}/manifest.json", manifest)
        if name == "split":
            split_over_two(target, root, run)
        item = wait_for_end(target, run)
        assert item["status"] == "succeeded", (name, item)
        steps = {step["step"]: step for step in report_of(target, run)["steps"]}
        used = {
            step: {attempt["platform"] for attempt in steps[step]["attempts"]} for step in STATELESS
        }
        two = {"lambda", "ray"}
        wanted = {"cut": {"lambda"}, "quality": two, "sketch": two}
        assert used == (wanted if name == "split" else {key: {name} for key in STATELESS})
        outputs[name] = all_outputs(target, run)
    assert len([name for name in outputs["lambda"] if name.startswith("sketch/")]) == 2
    for name in ("ray", "hpc", "split"):
        assert outputs[name] == outputs["lambda"], name


def test_a_probe_does_the_same_shards_on_every_place(target: Target, tmp_path: Path) -> None:
    text = tmp_path / "lines.txt"
    lines = ["four", "thirteen long", "a", "nearly ten", "seven c"]
    text.write_text("\n".join(lines))
    run = upload(target, "line-census", [text], {"probe": {"budget_usd": "5", "shards": 3}})
    assert wait_for_end(target, run)["kind"] == "probe"
    result, raw = probe_result(target.stack, run)
    assert result.report.status == "succeeded", result.report.reason
    check_totals(result.report)
    jsonschema.validate(probe_file_json(result, raw), json.loads(probe_schema_text()))
    for step, sizes in (("lines", [39]), ("lengths", [2, 8, 14]), ("census", [7])):
        done: dict[str, list[MeasuredShard]] = {}
        for place in result.places:
            if place.step == step:
                done.setdefault(place.name, []).extend(place.shards)
        lambdas = [f"lambda {size} MB" for size in (1024, 1769, 7076)]
        assert list(done) == [*lambdas, "ray c7i.large", "hpc c5n.9xlarge"]
        for name, shards in done.items():
            assert sorted(shard.input_bytes for shard in shards) == sizes, (step, name)
    shortest_median_longest = {"1": 1, "7": 1, "13": 1}
    assert json.loads(only_output(target, run, "census")) == shortest_median_longest


def test_a_job_that_is_lost_is_replaced_and_charged(target: Target, tmp_path: Path) -> None:
    text = tmp_path / "many.txt"
    text.write_text("\n".join(f"line {n}" for n in range(3000)))
    run = upload(target, "line-census", [text], {"policy": "trivium", "objective": "cost"})
    attempt = None
    deadline = time.monotonic() + 300
    while attempt is None and time.monotonic() < deadline:
        steps = target.stack.ledger.query(f"run#{run}", "step#lengths")
        if (
            steps
            and steps[0]["status"] == "running"
            and steps[0]["placements"][0][0]["platform"] == "ray"
        ):
            jobs = target.stack.ledger.query("job#ray")
            attempt = jobs[0]["sk"] if jobs else None
        time.sleep(0.2)
    assert attempt is not None, "the step was not placed on Ray"
    kill_ray_driver(attempt)
    assert wait_for_end(target, run)["status"] == "succeeded"
    lengths = next(s for s in report_of(target, run)["steps"] if s["step"] == "lengths")
    assert [one["outcome"] for one in lengths["attempts"]] == ["replaced", "succeeded"]
    assert lengths["attempts"][0]["platform"] == "ray"
    assert lengths["attempts"][1]["platform"] != "ray"
    assert all(float(one["usd"]) > 0 for one in lengths["attempts"])
    census = json.loads(only_output(target, run, "census"))
    assert census == {"6": 10, "7": 90, "8": 900, "9": 2000}


def kill_ray_driver(job: str) -> None:
    """Kill the driver of a job as a crash would, by the part that its command line names."""
    import psutil  # noqa: PLC0415

    _run_step, attempt, part = job.rsplit("-", 2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            named = any(f"{attempt}/{part}.json" in word for word in words)
            if named and "ray_tasks.run_part" in words and "/steps/lengths/" in words[-1]:
                process.kill()
                return
        time.sleep(0.1)
    raise AssertionError(f"no driver of {job} was found")


def test_forty_one_steps_run_in_their_order(target: Target) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n" * 10
    run = put(target, "raw/letter-census/pangram.txt", text.encode())
    assert wait_for_end(target, run)["status"] == "succeeded"
    pairs = [int(line) for line in only_output(target, run, "census").split()]
    letters = Counter(text.lower())
    assert pairs == [
        letters[a] + letters[b] for a, b in zip("acegikmoqsuwy", "bdfhjlnprtvxz", strict=True)
    ]
    assert len(report_of(target, run)["steps"]) == 41


def test_ten_thousand_tasks_run_to_their_end(target: Target) -> None:
    lines = [f"line {n}" for n in range(10_000)]
    run = put(target, "raw/line-census/lines.txt", "\n".join(lines).encode())
    assert wait_for_end(target, run, 840)["status"] == "succeeded"
    census = json.loads(only_output(target, run, "census"))
    expected = Counter(len(line) for line in lines)
    assert census == {str(size): expected[size] for size in sorted(expected)}
    assert report_of(target, run)["steps"][1]["tasks"] == 10_000
