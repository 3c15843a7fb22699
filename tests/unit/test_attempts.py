"""What an attempt took and cost: every call is charged, however it ended, and items add up."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.attempts import (
    call_events,
    calls_of,
    cluster_part_items,
    failure_on_record,
    intervals_of,
    lambda_part_items,
    measure_part,
    read_timeline,
    record_attempt,
    timeline_of,
)
from control.reporting import merge_items
from control.stack import Stack
from placement.account import Item, item, total
from placement.books import default_books
from runtime.keys import StepKeys
from tests.support import FakeClock

PRICES, _ = default_books()
RUN, STEP = "w-0123456789ab", "s"
KEYS = StepKeys(RUN, STEP)
BEGUN = 1_700_000_000.0
Json = dict[str, Any]


def a_call(name: str = "c", **fields: Any) -> Json:
    """Return the record of a call that took ten seconds, one of start-up before them."""
    return {
        "attempt": 1,
        "part": 0,
        "batch": 0,
        "call": name,
        "worker": f"worker {name}",
        "platform": "lambda",
        "memory_mb": 1024,
        "tmp_mb": 512,
        "started_s": BEGUN,
        "startup_s": 1.0,
        "outcome": "succeeded",
        "error": None,
        "reason": None,
        "ended_s": BEGUN + 10,
        "transfer_s": 2.0,
        "compute_s": 8.0,
        "requests": {"s3_get": 3, "s3_put": 2},
        "events": [["transfer", BEGUN, BEGUN + 2], ["compute", BEGUN + 2, BEGUN + 10]],
    } | fields


def a_dead_call(name: str = "c", **fields: Any) -> Json:
    """Return the record of a call that began and never said how it ended."""
    whole = a_call(name, outcome="running", **fields)
    gone = ("error", "reason", "ended_s", "transfer_s", "compute_s", "requests", "events")
    return {field: value for field, value in whole.items() if field not in gone}


def quantity(items: tuple[Item, ...], what: str) -> Decimal:
    return sum((one.quantity for one in items if one.what == what), Decimal(0))


# --- Lambda ---


def test_a_call_is_charged_with_its_start_up() -> None:
    items = lambda_part_items(PRICES, [a_call()], 1, BEGUN + 10)
    assert quantity(items, "Lambda compute 1024 MB") == 11  # GB-s: 1 GB for 1 + 10 s
    assert quantity(items, "Lambda requests") == 1
    assert quantity(items, "S3 GET") == 3
    assert quantity(items, "S3 PUT") == 2


def test_a_call_that_never_ended_is_charged_until_now() -> None:
    items = lambda_part_items(PRICES, [a_dead_call()], 1, BEGUN + 40)
    assert quantity(items, "Lambda compute 1024 MB") == 41
    assert quantity(items, "Lambda requests") == 1


def test_a_call_that_never_ended_is_charged_for_no_more_than_lambda_lets_it_run() -> None:
    items = lambda_part_items(PRICES, [a_dead_call()], 1, BEGUN + 86_400)
    assert quantity(items, "Lambda compute 1024 MB") == 901


def test_a_clock_that_is_behind_does_not_make_a_call_cost_less_than_its_start() -> None:
    items = lambda_part_items(PRICES, [a_dead_call()], 1, BEGUN - 5)
    assert quantity(items, "Lambda compute 1024 MB") == 1


def test_retried_calls_are_charged_and_so_are_their_transitions() -> None:
    once = lambda_part_items(PRICES, [a_call("a")], 1, BEGUN + 10)
    failed = a_call("b", outcome="failed", error="OutOfTimeError")
    twice = lambda_part_items(PRICES, [a_call("a"), failed], 1, BEGUN + 10)
    assert quantity(twice, "Lambda compute 1024 MB") == 22
    assert quantity(twice, "Lambda requests") == 2
    more = quantity(twice, "Step Functions transitions") - quantity(
        once, "Step Functions transitions"
    )
    assert more == 1


def test_transitions_are_the_parts_states_a_start_per_batch_and_every_try() -> None:
    items = lambda_part_items(PRICES, [a_call(str(number)) for number in range(5)], 4, BEGUN)
    assert quantity(items, "Step Functions transitions") == 2 + 4 + 5


def test_disk_above_what_is_included_is_charged() -> None:
    items = lambda_part_items(PRICES, [a_call(tmp_mb=10_240)], 1, BEGUN)
    assert quantity(items, "Lambda /tmp above 512 MB") == Decimal(9728 * 11) / 1024


# --- clusters ---

SIZE = {"instance_type": "c7i.large", "nodes": 2, "slots": 4}
JOB = {
    "started_s": BEGUN + 5,
    "ready_s": BEGUN + 7,
    "ended_s": BEGUN + 25,
    "outcome": "succeeded",
    "requests": {"s3_get": 1, "s3_put": 1},
}


def test_a_job_is_charged_with_its_nodes_while_it_held_them() -> None:
    items = cluster_part_items(PRICES, SIZE, [], JOB, (BEGUN, BEGUN + 25))
    assert quantity(items, "c7i.large nodes") == 40  # node-s: two nodes for 20 s
    assert quantity(items, "SQS requests") == 3
    assert quantity(items, "Step Functions transitions") == 2


def test_a_job_without_an_exit_record_is_charged_from_queueing() -> None:
    items = cluster_part_items(PRICES, SIZE, [], None, (BEGUN, BEGUN + 25))
    assert quantity(items, "c7i.large nodes") == 50


def test_requests_of_the_job_and_of_its_workers_are_charged() -> None:
    calls = [a_call("a"), a_call("b"), a_dead_call("c")]
    items = cluster_part_items(PRICES, SIZE, calls, JOB, (BEGUN, BEGUN + 25))
    assert quantity(items, "S3 GET") == 7
    assert quantity(items, "S3 PUT") == 5


# --- items ---

items_of = st.lists(
    st.builds(
        item,
        st.sampled_from(["a", "b", "c"]),
        st.decimals(0, 10**6, places=9),
        st.sampled_from(["GB-s", "request"]),
        st.sampled_from([Decimal("0.0000166667"), Decimal("0.0000002"), Decimal("0.000005")]),
    ),
    max_size=20,
)


@given(items_of)
def test_merging_items_keeps_the_exact_sum(items: list[Item]) -> None:
    merged = merge_items(items)
    assert total(merged) == total(items)
    kinds = [(one.what, one.unit, one.unit_usd) for one in merged]
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == {(one.what, one.unit, one.unit_usd) for one in items}


@given(items_of)
def test_items_survive_the_ledger_to_the_last_digit(items: list[Item]) -> None:
    assert [Item.from_json(one.to_json()) for one in items] == items


# --- timelines ---


def test_a_calls_events_are_its_start_up_and_what_it_did() -> None:
    assert call_events(a_call(), BEGUN + 99) == [
        ("startup", BEGUN - 1, BEGUN),
        ("transfer", BEGUN, BEGUN + 2),
        ("compute", BEGUN + 2, BEGUN + 10),
    ]


def test_what_lies_between_events_is_transfer() -> None:
    gaps = a_call(compute_s=3.0, events=[["compute", BEGUN + 4, BEGUN + 7]])
    assert call_events(gaps, 0.0)[1:] == [
        ("transfer", BEGUN, BEGUN + 4),
        ("compute", BEGUN + 4, BEGUN + 7),
        ("transfer", BEGUN + 7, BEGUN + 10),
    ]


def test_what_a_long_call_did_after_its_last_event_follows_its_totals() -> None:
    cut = a_call(
        compute_s=7.5, events=[["transfer", BEGUN, BEGUN + 1], ["compute", BEGUN + 1, BEGUN + 2]]
    )
    assert call_events(cut, 0.0)[3:] == [
        ("compute", BEGUN + 2, BEGUN + 8.5),
        ("transfer", BEGUN + 8.5, BEGUN + 10),
    ]


@given(
    st.lists(st.tuples(st.sampled_from(["transfer", "compute"]), st.integers(0, 50)), max_size=12),
    st.integers(0, 12),
)
def test_the_events_of_a_call_cover_its_time_and_have_its_totals(
    did: list[tuple[str, int]], kept: int
) -> None:
    events: list[list[Any]] = []
    at = BEGUN
    for kind, seconds in did:
        events.append([kind, at, at + seconds])
        at += seconds
    compute_s = float(sum(seconds for kind, seconds in did if kind == "compute"))
    call = a_call(ended_s=at, compute_s=compute_s, startup_s=0.0, events=events[:kept])
    found = call_events(call, 0.0)
    assert sum(end - begin for _, begin, end in found) == at - BEGUN
    assert sum(end - begin for kind, begin, end in found if kind == "compute") == compute_s
    assert all(one[2] == other[1] for one, other in itertools.pairwise(found))


def test_a_dead_call_is_busy_until_the_end() -> None:
    assert call_events(a_dead_call(), BEGUN + 30)[-1] == ("transfer", BEGUN, BEGUN + 30)


def test_a_jobs_own_start_is_start_up() -> None:
    intervals = intervals_of([], JOB, BEGUN + 25)
    assert [(one.kind, one.end_s - one.start_s) for one in intervals] == [("startup", 2.0)]
    assert intervals_of([], {"started_s": BEGUN, "outcome": "failed"}, BEGUN + 25) == []


def test_a_timeline_has_one_row_per_worker_in_order_of_time() -> None:
    later = a_call(
        "y",
        worker="w",
        started_s=BEGUN + 20,
        ended_s=BEGUN + 21,
        startup_s=0.0,
        events=[],
        compute_s=0.0,
    )
    rows = timeline_of([later, a_call("x", worker="w")], JOB)
    assert [row["worker"] for row in rows] == ["job", "w"]
    starts = [start for _, start, _ in rows[1]["events"]]
    assert starts == sorted(starts)
    assert len(rows[1]["events"]) == 4


# --- records of whole attempts ---


def given_attempt(
    stack: Stack, platform: str, calls: list[Json], *, job: Json | None = None, parts: int = 1
) -> None:
    size = SIZE if platform != "lambda" else {"memory_mb": 1024, "batches": 2}
    stack.ledger.put(
        f"run#{RUN}",
        f"step#{STEP}",
        {
            "step": STEP,
            "placements": [[{"platform": platform, "size": size, "share": 1.0}] * parts],
        },
    )
    for part in range(parts):
        description = {
            "platform": platform,
            "size": size,
            "queued_s": BEGUN - 4,
            "batches_key": KEYS.batches(1, part),
        }
        stack.store.put_json(KEYS.part(1, part), description)
        stack.store.put_json(KEYS.batches(1, part), [{}, {}])
    if job is not None:
        stack.store.put_json(KEYS.exit_record(1, 0), job)
    for call in calls:
        key = KEYS.call(call["attempt"], call["part"], call["batch"], call["call"])
        stack.store.put_json(key, call)


def test_a_part_is_measured_from_queueing_to_the_end_of_its_last_call(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 1_000
    given_attempt(stack, "lambda", [a_call("a"), a_call("b", batch=1)])
    record, timeline = measure_part(stack, KEYS, 1, 0, "succeeded", None)
    assert (record["queued_s"], record["started_s"], record["ended_s"]) == (
        BEGUN - 4,
        BEGUN,
        BEGUN + 10,
    )
    assert record["measured"] == pytest.approx(
        {"queue_s": 3, "startup_s": 1, "transfer_s": 2, "compute_s": 8, "wall_s": 14}
    )
    assert record["calls"] == 2
    assert Decimal(record["usd"]) == sum(Decimal(one["usd"]) for one in record["items"])
    assert [row["worker"] for row in timeline] == ["worker a", "worker b"]


def test_a_failed_attempt_lasts_until_it_is_recorded(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 30
    given_attempt(stack, "lambda", [a_call("a", outcome="failed", error="X", reason="x")])
    record, _ = measure_part(stack, KEYS, 1, 0, "failed", "x")
    assert record["ended_s"] == BEGUN + 30


def test_an_attempt_of_which_nothing_began_was_all_queueing(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 6
    given_attempt(stack, "ray", [])
    record, timeline = measure_part(stack, KEYS, 1, 0, "failed", "no agent")
    assert record["measured"]["queue_s"] == record["measured"]["wall_s"] == 10
    assert timeline == []


def test_a_job_ends_when_its_record_says(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 100
    given_attempt(stack, "ray", [a_call(startup_s=0.0)], job=JOB)
    record, timeline = measure_part(stack, KEYS, 1, 0, "failed", "x")
    assert record["ended_s"] == BEGUN + 25
    assert timeline[0]["worker"] == "job"


def test_every_part_is_on_record_and_recording_again_writes_the_same(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 50
    given_attempt(stack, "lambda", [a_call("a"), a_call("b", part=1)], parts=2)
    first = record_attempt(stack, RUN, STEP, 1, "succeeded", None)
    kept = stack.ledger.query(f"run#{RUN}", "attempt#")
    assert record_attempt(stack, RUN, STEP, 1, "succeeded", None) == first
    assert stack.ledger.query(f"run#{RUN}", "attempt#") == kept
    assert [item["sk"] for item in kept] == ["attempt#s#001#000", "attempt#s#001#001"]
    assert [row["worker"] for row in read_timeline(stack, KEYS, 1, 1)] == ["worker b"]


def test_an_attempt_that_was_never_placed_has_no_record(stack: Stack) -> None:
    assert record_attempt(stack, RUN, "unknown", 1, "failed", "x") == []
    given_attempt(stack, "lambda", [])
    assert record_attempt(stack, RUN, STEP, 2, "failed", "x") == []
    assert read_timeline(stack, KEYS, 7, 0) == []


def test_calls_of_one_part_are_not_those_of_another(stack: Stack) -> None:
    given_attempt(stack, "lambda", [a_call("a"), a_call("b", part=1), a_call("c", attempt=11)])
    assert [call["call"] for call in calls_of(stack, KEYS, 1, 0)] == ["a"]


# --- what an attempt failed of ---


def failed(name: str, error: str, *, at: float = 0.0, **fields: Any) -> Json:
    return a_call(
        name,
        outcome="failed",
        error=error,
        reason=f"{error} in {name}",
        started_s=BEGUN + at,
        ended_s=BEGUN + at + 1,
        **fields,
    )


def test_a_failed_call_says_what_failed(stack: Stack) -> None:
    given_attempt(stack, "lambda", [a_call("a"), failed("b", "MemoryError", batch=1)])
    assert failure_on_record(stack, KEYS, 1, 1) == ("MemoryError", "MemoryError in b")


def test_a_failure_that_a_later_call_made_good_does_not_count(stack: Stack) -> None:
    calls = [
        failed("a", "ClientError"),
        a_call("b", started_s=BEGUN + 5),
        failed("c", "DoesNotFitError", batch=1),
    ]
    given_attempt(stack, "lambda", calls)
    assert failure_on_record(stack, KEYS, 1, 1) == ("DoesNotFitError", "DoesNotFitError in c")


def test_a_success_of_another_batch_or_part_makes_nothing_good(stack: Stack) -> None:
    calls = [
        failed("a", "X"),
        a_call("b", batch=1, started_s=BEGUN + 5),
        a_call("c", part=1, started_s=BEGUN + 5),
    ]
    given_attempt(stack, "lambda", calls, parts=2)
    assert failure_on_record(stack, KEYS, 1, 2) == ("X", "X in a")


def test_a_success_before_a_failure_makes_nothing_good(stack: Stack) -> None:
    given_attempt(stack, "lambda", [a_call("a"), failed("b", "X", at=20)])
    assert failure_on_record(stack, KEYS, 1, 1) == ("X", "X in b")


def test_a_wrong_input_goes_before_other_failures_and_lack_of_time_after_them(
    stack: Stack,
) -> None:
    calls = [
        failed("a", "OutOfTimeError", batch=0),
        failed("b", "MemoryError", batch=1, at=1),
        failed("c", "MemoryError", batch=2, at=2),
    ]
    given_attempt(stack, "lambda", calls)
    assert failure_on_record(stack, KEYS, 1, 1) == ("MemoryError", "MemoryError in b")
    wrong = failed("d", "UserError", batch=3, at=3)
    stack.store.put_json(KEYS.call(1, 0, 3, "d"), wrong)
    assert failure_on_record(stack, KEYS, 1, 1) == ("UserError", "UserError in d")


def test_calls_that_died_without_a_word_are_told_of(stack: Stack) -> None:
    given_attempt(stack, "lambda", [a_call("a"), a_dead_call("b", batch=1)])
    found = failure_on_record(stack, KEYS, 1, 1)
    assert found is not None
    assert found[0] == "CallLost"
    assert found[1].startswith("1 call ended without a word")


def test_without_calls_nothing_is_known(stack: Stack) -> None:
    given_attempt(stack, "ray", [])
    assert failure_on_record(stack, KEYS, 1, 1) is None
    given_attempt(stack, "lambda", [a_call("a")])
    assert failure_on_record(stack, KEYS, 1, 1) is None
