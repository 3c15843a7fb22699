"""Names: the same upload gives the same names, different uploads give different ones."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.keys import (
    RunKeys,
    StepKeys,
    job_name,
    run_id,
    step_execution_name,
    upload_workflow,
)

HARD_KEYS = [
    "raw/word-count/a b.txt",
    "raw/word-count/a+b.txt",
    "raw/word-count/a%20b.txt",
    "raw/word-count/a%2Bb.txt",
    "raw/word-count/nai\u0308ve_ _日本語.txt",  # two ways to write one letter
    "raw/word-count/na\u00efve_ _日本語.txt",
    "raw/word-count/🧬.txt",
]
names = st.from_regex(r"[a-z0-9-]{1,32}", fullmatch=True)


def test_a_run_is_named_by_its_upload_and_always_the_same() -> None:
    # sha256 of "bucket\0key\0v1", computed apart with sha256sum
    assert run_id("word-count", "bucket", "key", "v1") == "word-count-01f5166155af"


@pytest.mark.parametrize("key", HARD_KEYS)
def test_hard_keys_give_plain_run_names(key: str) -> None:
    name = run_id("word-count", "b", key, "1")
    assert re.fullmatch(r"word-count-[0-9a-f]{12}", name)


def test_keys_that_only_decode_to_the_same_text_are_different_uploads() -> None:
    assert len({run_id("w", "b", key, "1") for key in HARD_KEYS}) == len(HARD_KEYS)


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_different_uploads_have_different_runs(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assume(one != other)
    assume(not any("\0" in part for part in one + other))  # S3 keys hold no NUL
    assert run_id("w", *one) != run_id("w", *other)


def test_moving_a_letter_between_bucket_key_and_version_changes_the_run() -> None:
    assert run_id("w", "ab", "c", "d") != run_id("w", "a", "bc", "d") != run_id("w", "a", "b", "cd")


@pytest.mark.parametrize(
    ("key", "workflow"),
    [
        ("raw/word-count/a.txt", "word-count"),
        ("raw/word-count/sample/manifest.json", "word-count"),
        ("raw/word-count/a/b/c.txt", "word-count"),
        ("raw/word-count/a b+c%20.txt", "word-count"),
        ("raw/a.txt", None),
        ("raw/", None),
        ("raw//a.txt", None),
        ("raw/word-count/", None),
        ("raw/word-count//a.txt", None),
        ("cooked/word-count/a.txt", None),
        ("/raw/word-count/a.txt", None),
        ("", None),
    ],
)
def test_the_workflow_is_read_from_the_key(key: str, workflow: str | None) -> None:
    assert upload_workflow(key) == workflow


@given(names, names, st.text(max_size=200))
def test_execution_names_are_allowed_by_step_functions(workflow: str, step: str, key: str) -> None:
    name = step_execution_name(run_id(workflow, "b", key, "v"), step)
    assert len(name) <= 80
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


def test_no_two_objects_of_a_run_share_a_key() -> None:
    step = StepKeys("r", "s")
    run = RunKeys("r")
    every = [run.plan, run.report_json, run.report_html, step.tasks, step.shared, step.output]
    for attempt in (1, 2, 11):
        for part in (0, 1, 11):
            every += [
                step.part(attempt, part),
                step.batches(attempt, part),
                step.exit_record(attempt, part),
                *(step.result(attempt, part, batch) for batch in (0, 1, 11)),
                *(step.call(attempt, part, batch, call) for batch in (0, 1) for call in "xy"),
            ]
    every += [step.task_output(task) for task in range(3)]
    assert len(set(every)) == len(every)
    assert all(key.startswith("runs/r/") for key in every)


def test_calls_of_part_1_are_not_found_under_part_11() -> None:
    step = StepKeys("r", "s")
    assert not step.call(1, 11, 0, "x").startswith(f"{step.calls}a1-p1-")
    assert not step.call(11, 1, 0, "x").startswith(f"{step.calls}a1-p1-")


def test_results_and_outputs_sort_in_the_order_of_their_tasks() -> None:
    step = StepKeys("r", "s")
    outputs = [step.task_output(task) for task in range(0, 100_000, 997)]
    assert outputs == sorted(outputs)


def test_jobs_are_named_by_run_step_attempt_and_part() -> None:
    assert (
        job_name("word-count-0123456789ab", "words", 2, 1) == "word-count-0123456789ab-words-a2-p1"
    )
