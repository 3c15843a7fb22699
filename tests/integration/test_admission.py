"""An upload becomes a run once, or is refused with a sentence, and is never lost."""

from __future__ import annotations

import hashlib
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyAlreadyInProgressError,
)

from control.admission import admit
from control.stack import Stack
from runtime.keys import run_id
from tests.integration.interpreter import Context

EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:trivium-workflow:event-1"
OTHER = EXECUTION + "-again"
HARD_NAMES = ["a b.txt", "a+b.txt", "a%20b.txt", "naïve_ _日本語 🧬.txt", "a&b=c#d?.txt", "'a'.txt"]


def put(stack: Stack, key: str, content: str = "text") -> str:
    """Upload with a plain client; return the version."""
    answer = stack.aws.client("s3").put_object(
        Bucket=stack.store.bucket, Key=key, Body=content.encode()
    )
    return str(answer["VersionId"])


def event_of(
    stack: Stack, key: str, version: str | None = None, execution: str = EXECUTION
) -> dict[str, Any]:
    """Return the input of Admit as EventBridge and the state machine make it: the key as it is."""
    uploaded: dict[str, Any] = {"key": key, "size": 4, "etag": "e", "sequencer": "s"}
    if version is not None:
        uploaded["version-id"] = version
    detail = {"version": "0", "bucket": {"name": stack.store.bucket}, "object": uploaded}
    return {"object": detail, "execution": execution, "started_at": "2026-01-01T00:00:00Z"}


def admitted(stack: Stack, key: str, content: str = "text", **more: Any) -> dict[str, Any]:
    return admit(stack, event_of(stack, key, put(stack, key, content), **more), Context())


def run_item(stack: Stack, answer: dict[str, Any]) -> dict[str, Any]:
    return stack.ledger.get(f"run#{answer['run']}", "run") or {}


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_single_file_becomes_a_run_whatever_its_name(stack: Stack, name: str) -> None:
    key = f"raw/word-count/{name}"
    version = put(stack, key)
    answer = admit(stack, event_of(stack, key, version), Context())
    expected = run_id("word-count", stack.store.bucket, key, version)
    assert answer == {"verdict": "admitted", "run": expected, "reason": None}
    item = run_item(stack, answer)
    assert item["inputs"] == {"texts": [[key, 4, version]]}
    assert (item["status"], item["workflow"], item["upload"]) == ("running", "word-count", key)
    assert item["execution"] == EXECUTION


def test_an_admitted_run_is_in_the_list_of_runs(stack: Stack) -> None:
    answer = admitted(stack, "raw/word-count/a.txt")
    (listed,) = stack.ledger.query("runs")
    assert (listed["run"], listed["upload"]) == (answer["run"], "raw/word-count/a.txt")
    assert listed["sk"].endswith(f"Z#{answer['run']}")


def test_an_upload_that_asks_for_a_probe_is_on_record_as_one(stack: Stack) -> None:
    put(stack, "raw/word-count/sample/a.txt")
    manifest = '{"files": ["a.txt"], "probe": {"budget_usd": "0.10"}}'
    item = run_item(stack, admitted(stack, "raw/word-count/sample/manifest.json", manifest))
    assert (item["kind"], item["status"]) == ("probe", "running")
    assert item["options"]["probe"] == {"budget_usd": "0.10", "shards": 3}
    put(stack, "raw/word-count/b.txt")
    assert run_item(stack, admitted(stack, "raw/word-count/b.txt"))["kind"] == "run"


def test_an_event_without_a_version_is_looked_up(stack: Stack) -> None:
    key = "raw/word-count/a.txt"
    version = put(stack, key)
    answer = admit(stack, event_of(stack, key), Context())
    assert answer["run"] == run_id("word-count", stack.store.bucket, key, version)


def test_a_run_is_of_the_version_that_its_event_tells_of(stack: Stack) -> None:
    key = "raw/word-count/a.txt"
    first, second = put(stack, key, "one"), put(stack, key, "three")
    answers = [
        admit(stack, event_of(stack, key, version, f"{EXECUTION}-{version}"), Context())
        for version in (first, second)
    ]
    assert [run_item(stack, answer)["inputs"] for answer in answers] == [
        {"texts": [[key, 3, first]]},
        {"texts": [[key, 5, second]]},
    ]


def test_a_manifest_is_read_in_the_version_that_its_event_tells_of(stack: Stack) -> None:
    key = "raw/word-count/s/manifest.json"
    put(stack, "raw/word-count/s/a.txt")
    first = put(stack, key, '{"files": ["a.txt"], "policy": "all-lambda"}')
    put(stack, key, "written over")
    answer = admit(stack, event_of(stack, key, first), Context())
    assert run_item(stack, answer)["options"]["policy"] == "all-lambda"


def test_a_manifest_starts_its_files_together(stack: Stack) -> None:
    two, one = (put(stack, f"raw/word-count/s/{name}") for name in ("b 2.txt", "a+1.txt"))
    for name in ("b 2.txt", "a+1.txt"):
        event = event_of(stack, f"raw/word-count/s/{name}")
        assert admit(stack, event, Context())["verdict"] == "waiting"
    assert stack.ledger.query("runs") == []
    manifest = {"files": ["b 2.txt", "a+1.txt"], "policy": "all-lambda", "deadline_s": 90.5}
    answer = admitted(stack, "raw/word-count/s/manifest.json", json.dumps(manifest))
    assert answer["verdict"] == "admitted"
    item = run_item(stack, answer)
    assert item["inputs"] == {
        "texts": [["raw/word-count/s/a+1.txt", 4, one], ["raw/word-count/s/b 2.txt", 4, two]]
    }
    assert item["options"] == {"policy": "all-lambda", "deadline_s": 90.5, "place": {}}


def test_a_sample_sheet_starts_its_files_together(stack: Stack) -> None:
    folder = "raw/read-clustering/s"
    names = ("x_1.fastq.gz", "x_2.fastq.gz", "x.truth.tsv")
    first, second, truth = (put(stack, f"{folder}/{name}") for name in names)
    sheet = "sample,fastq_1,fastq_2,file\nx,x_1.fastq.gz,x_2.fastq.gz,x.truth.tsv\n"
    answer = admitted(stack, "raw/read-clustering/s/samplesheet.csv", sheet)
    assert run_item(stack, answer)["inputs"] == {
        "reads": [[f"{folder}/x_1.fastq.gz", 4, first], [f"{folder}/x_2.fastq.gz", 4, second]],
        "truth": [[f"{folder}/x.truth.tsv", 4, truth]],
    }


REFUSALS = {
    "raw/word-count/..": "names no workflow",
    "raw/../a.txt": "names no workflow",
    "raw//a.txt": "names no workflow",
    "raw/a.txt": "names no workflow",
    "raw/no-such/a.txt": "There is no workflow 'no-such'; the deployed ones are letter-census, ",
    "raw/word-count/a.fastq": 'file "a.fastq" fits no input of workflow "word-count"',
    "raw/NO SUCH ✗/a.txt": "There is no workflow",
    "raw/" + "w" * 300 + "/a.txt": "There is no workflow",
    "raw/word-count/manifest.json": "is not JSON",
    "raw/word-count/samplesheet.csv": "names no file",
}


@pytest.mark.parametrize("key", REFUSALS)
def test_a_refused_upload_is_recorded_with_its_sentence(stack: Stack, key: str) -> None:
    answer = admitted(stack, key)
    assert answer["verdict"] == "refused"
    assert REFUSALS[key] in answer["reason"]
    assert "\n" not in answer["reason"]
    item = run_item(stack, answer)
    assert (item["status"], item["reason"], item["upload"]) == ("failed", answer["reason"], key)
    assert [listed["run"] for listed in stack.ledger.query("runs")] == [answer["run"]]


MANIFESTS = {
    '{"files": ["gone.txt"]}': "There is no object s3://.*/raw/word-count/s/gone.txt; upload it",
    '{"files": ["../../x.txt"]}': "name files that lie in its own folder",
    '{"files": ["a.txt"], "polici": "x"}': "polici: Extra inputs are not permitted",
    '{"files": ["a.txt", "manifest.json"]}': 'file "manifest.json" fits no input',
    '{"files": ["a.txt", "a.txt"]}': "names a.txt twice",
    "[" * 50_000: "is not JSON",
}


@pytest.mark.parametrize("content", MANIFESTS, ids=range(len(MANIFESTS)))
def test_a_wrong_manifest_is_refused_with_its_sentence(stack: Stack, content: str) -> None:
    put(stack, "raw/word-count/s/a.txt")
    answer = admitted(stack, "raw/word-count/s/manifest.json", content)
    assert answer["verdict"] == "refused"
    assert run_item(stack, answer)["reason"] == answer["reason"]
    assert re.search(MANIFESTS[content], answer["reason"])


def test_a_workflow_that_wants_reads_is_not_run_without(stack: Stack) -> None:
    put(stack, "raw/read-clustering/s/x.truth.tsv")
    content = '{"files": ["x.truth.tsv"]}'
    answer = admitted(stack, "raw/read-clustering/s/manifest.json", content)
    assert 'was given no file for its input "reads"' in answer["reason"]


def test_an_upload_that_is_gone_again_is_refused_and_recorded(stack: Stack) -> None:
    answer = admit(stack, event_of(stack, "raw/word-count/a.txt"), Context())
    assert answer["verdict"] == "refused"
    assert "There is no object" in run_item(stack, answer)["reason"]


def test_names_that_the_ledger_cannot_hold_are_refused_in_words(stack: Stack) -> None:
    folder = f"raw/word-count/{'s' * 700}"
    names = [f"{number:03d}-{'x' * 190}.txt" for number in range(350)]
    for name in names:
        put(stack, f"{folder}/{name}")
    answer = admitted(stack, f"{folder}/manifest.json", json.dumps({"files": names}))
    assert answer["verdict"] == "refused"
    assert "upload fewer files" in answer["reason"]


def test_a_manifest_that_would_fill_memory_is_not_read(stack: Stack) -> None:
    answer = admitted(stack, "raw/word-count/s/manifest.json", "[" + " " * 2_000_000)
    assert answer["verdict"] == "refused"
    assert answer["reason"] == (
        "raw/word-count/s/manifest.json has 2000001 bytes; a manifest has at most 2000000. "
        "Upload a smaller one."
    )


def test_a_folder_made_in_the_console_starts_nothing(stack: Stack) -> None:
    assert admitted(stack, "raw/word-count/", "")["verdict"] == "waiting"
    assert admitted(stack, "raw/word-count/s/", "")["verdict"] == "waiting"
    assert stack.ledger.query("runs") == []


def test_the_same_event_delivered_to_another_execution_is_a_duplicate(stack: Stack) -> None:
    key = "raw/word-count/a.txt"
    version = put(stack, key)
    first = admit(stack, event_of(stack, key, version), Context())
    item = run_item(stack, first)
    again = admit(stack, event_of(stack, key, version, OTHER), Context())
    assert again == {"verdict": "duplicate", "run": first["run"], "reason": None}
    assert run_item(stack, first) == item
    assert len(stack.ledger.query("runs")) == 1


def test_a_retried_call_of_the_same_execution_is_admitted_again(stack: Stack) -> None:
    event = event_of(stack, "raw/word-count/a.txt", put(stack, "raw/word-count/a.txt"))
    first = admit(stack, event, Context())
    item = run_item(stack, first)
    assert admit(stack, event, Context()) == first
    assert run_item(stack, first) == item
    assert len(stack.ledger.query("runs")) == 1


def test_a_refusal_is_repeated_to_a_retried_call(stack: Stack) -> None:
    event = event_of(stack, "raw/no-such/a.txt", put(stack, "raw/no-such/a.txt"))
    assert admit(stack, event, Context()) == admit(stack, event, Context())
    assert len(stack.ledger.query("runs")) == 1


def test_a_call_that_died_before_the_run_was_listed_is_made_good(stack: Stack) -> None:
    event = event_of(stack, "raw/word-count/a.txt", put(stack, "raw/word-count/a.txt"))
    first = admit(stack, event, Context())
    (listed,) = stack.ledger.query("runs")
    stack.ledger.delete("runs", listed["sk"])
    assert admit(stack, event, Context()) == first
    assert stack.ledger.query("runs") == [listed]


def test_a_new_version_of_a_file_is_a_new_run(stack: Stack) -> None:
    first = admitted(stack, "raw/word-count/a.txt", "one")
    second = admitted(stack, "raw/word-count/a.txt", "two", execution=OTHER)
    assert (first["verdict"], second["verdict"]) == ("admitted", "admitted")
    assert first["run"] != second["run"]


def test_a_delivery_while_another_is_being_admitted_is_asked_to_try_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "raw/word-count/a.txt"
    version = put(stack, key)
    seen: list[str] = []

    def sha256(content: bytes) -> Any:
        """Deliver the event again at the moment at which the first delivery claims it."""
        monkeypatch.setattr("control.admission.hashlib", hashlib)
        with pytest.raises(IdempotencyAlreadyInProgressError):
            admit(stack, event_of(stack, key, version, OTHER), Context())
        seen.append("in progress")
        return hashlib.sha256(content)

    monkeypatch.setattr("control.admission.hashlib", SimpleNamespace(sha256=sha256))
    first = admit(stack, event_of(stack, key, version), Context())
    again = admit(stack, event_of(stack, key, version, OTHER), Context())
    assert (first["verdict"], again["verdict"]) == ("admitted", "duplicate")
    assert seen == ["in progress"]
