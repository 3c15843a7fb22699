"""What an attempt took and cost: every call is charged, however it ended, and items add up."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.attempt_record import Attempt
from control.attempts import find_attempt, queue_attempt, settle_attempt, settle_part
from control.calls import calls_of, failure_on_record, task_seconds
from control.charges import cluster_part_items, lambda_part_items
from control.stack import Stack
from control.timelines import call_events, intervals_of, read_timeline, timeline_of
from placement.account import Item, item, merge_items, total
from placement.books import default_books
from placement.errors import UserError
from placement.node_time import node_seconds
from runtime.cluster_log import ClusterLog
from runtime.keys import StepKeys
from tests.attempts import RAY_SIZE, an_attempt, job_of, place_attempt
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


# Lambda


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


def test_a_call_that_never_ended_is_charged_until_its_batch_was_called_again() -> None:
    again = a_call("again", started_s=BEGUN + 7, ended_s=BEGUN + 10, startup_s=0.0)
    elsewhere = a_call("other", batch=1, started_s=BEGUN + 2, ended_s=BEGUN + 3, startup_s=0.0)
    items = lambda_part_items(PRICES, [a_dead_call("d"), again, elsewhere], 2, BEGUN + 40)
    assert quantity(items, "Lambda compute 1024 MB") == (1 + 7) + 3 + 1


# clusters

JOB = {
    "started_s": BEGUN + 5,
    "ready_s": BEGUN + 7,
    "ended_s": BEGUN + 25,
    "outcome": "succeeded",
    "requests": {"s3_get": 1, "s3_put": 1},
}


def test_a_job_is_charged_with_its_node_seconds_its_states_and_its_messages() -> None:
    items = cluster_part_items(PRICES, "c7i.large", Decimal(40), [], JOB)
    assert quantity(items, "c7i.large nodes") == 40
    assert quantity(items, "SQS requests") == 3
    assert quantity(items, "Step Functions transitions") == 2


def test_a_job_that_never_held_a_node_is_charged_with_none() -> None:
    items = cluster_part_items(PRICES, "c7i.large", Decimal(0), [], None)
    assert [one.what for one in items] == ["Step Functions transitions", "SQS requests"]


def test_requests_of_the_job_and_of_its_workers_are_charged() -> None:
    calls = [a_call("a"), a_call("b"), a_dead_call("c")]
    items = cluster_part_items(PRICES, "c7i.large", Decimal(40), calls, JOB)
    assert quantity(items, "S3 GET") == 7
    assert quantity(items, "S3 PUT") == 5


def test_only_calls_whose_tasks_are_done_count_as_computing() -> None:
    late = {"outcome": "failed", "error": "OutOfTimeError", "compute_s": 2.5}
    wrong = {"outcome": "failed", "error": "ValueError", "compute_s": 40.0}
    calls = [a_call("a", compute_s=1.25), a_call("b", **late), a_call("c", **wrong), a_dead_call()]
    assert task_seconds(calls) == 3.75


# items

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


# timelines


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


# records of whole attempts


def given_attempt(
    stack: Stack, platform: str, calls: list[Json], *, job: Json | None = None, parts: int = 1
) -> Attempt:
    placement = {"platform": platform, "size": {}, "share": 1.0}
    fields = {"step": STEP, "placements": [[placement] * parts]}
    stack.ledger.put(f"run#{RUN}", f"step#{STEP}", fields)
    attempts = [
        an_attempt(RUN, STEP, 1, part, platform=platform, queued_s=BEGUN - 4)
        for part in range(parts)
    ]
    for attempt in attempts:
        place_attempt(stack, attempt)
    if job is not None:
        stack.store.put_json(KEYS.exit_record(1, 0), job)
    for call in calls:
        key = KEYS.call(call["attempt"], call["part"], call["batch"], call["call"])
        stack.store.put_json(key, call)
    return attempts[0]


def nodes_s(attempt: Attempt) -> Decimal:
    return quantity(attempt.settled.items, "c7i.large nodes")


def test_a_part_is_measured_from_queueing_to_the_end_of_its_last_call(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 1_000
    record = given_attempt(stack, "lambda", [a_call("a"), a_call("b", batch=1)])
    after = settle_part(stack, record, "succeeded", None)
    measured = after.settled
    assert (after.queued_s, measured.started_s, measured.ended_s) == (BEGUN - 4, BEGUN, BEGUN + 10)
    wall = measured.wall
    assert (wall.queue_s, wall.startup_s, wall.transfer_s, wall.compute_s) == pytest.approx(
        (3, 1, 2, 8)
    )
    assert (measured.calls, measured.calls_without_end, measured.open) == (2, 0, False)
    timeline = read_timeline(stack, KEYS, 1, 0)
    assert [row["worker"] for row in timeline] == ["worker a", "worker b"]


def test_a_failed_attempt_lasts_until_it_is_settled_first(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 30
    dead = a_dead_call("b", batch=1)
    record = given_attempt(stack, "lambda", [a_call("a", outcome="failed", error="X"), dead])
    first = settle_part(stack, record, "replaced", "x")
    assert (first.settled.ended_s, first.settled.open) == (BEGUN + 30, True)
    clock.forward(500)
    again = settle_part(stack, first, "failed", "y", final=True)
    assert again.settled.usd == first.settled.usd
    assert (again.settled.outcome, again.settled.reason) == ("replaced", "x")
    assert not again.settled.open


def test_a_call_that_ends_after_its_attempt_was_settled_is_charged_in_full(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 5
    record = given_attempt(stack, "lambda", [a_dead_call("a")])
    first = settle_part(stack, record, "replaced", "x")
    assert quantity(first.settled.items, "Lambda compute 1024 MB") == 6
    stack.store.put_json(KEYS.call(1, 0, 0, "a"), a_call("a"))
    clock.forward(60)
    last = settle_part(stack, first, "failed", None, final=True)
    assert quantity(last.settled.items, "Lambda compute 1024 MB") == 11
    assert last.settled.ended_s == BEGUN + 5


def test_a_call_of_a_failed_attempt_whose_record_comes_late_is_counted_at_the_runs_end(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 8
    record = given_attempt(stack, "lambda", [])
    first = settle_part(stack, record, "replaced", "out of time")
    assert (first.settled.calls, first.settled.open) == (0, True)
    stack.store.put_json(KEYS.call(1, 0, 0, "a"), a_dead_call("a"))
    clock.forward(60)
    last = settle_part(stack, first, "failed", None, final=True)
    assert (last.settled.calls, last.settled.calls_without_end, last.settled.open) == (1, 1, False)
    assert quantity(last.settled.items, "Lambda compute 1024 MB") == 9


def test_an_attempt_of_which_nothing_began_was_all_queueing(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 6
    record = given_attempt(stack, "ray", [])
    after = settle_part(stack, record, "failed", "no agent")
    assert after.settled.wall.queue_s == after.settled.wall.wall_s == 10
    assert nodes_s(after) == 0
    assert read_timeline(stack, KEYS, 1, 0) == []


def test_an_attempt_that_was_queued_and_never_placed_costs_nothing(stack: Stack) -> None:
    for platform in ("lambda", "ray"):
        record = queue_attempt(
            stack, KEYS, 1, len(platform), {"platform": platform, "size": RAY_SIZE}, []
        )
        assert settle_part(stack, record, "failed", "x").settled.items == ()


def test_a_job_ends_when_its_record_says(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 100
    record = given_attempt(stack, "ray", [a_call(startup_s=0.0)], job=JOB)
    after = settle_part(stack, record, "failed", "x")
    assert after.settled.ended_s == BEGUN + 25
    assert nodes_s(after) == 40  # two nodes for 20 s
    assert read_timeline(stack, KEYS, 1, 0)[0]["worker"] == "job"


def test_a_job_without_exit_record_is_charged_for_as_long_as_its_agent_saw_it(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 50
    record = given_attempt(stack, "hpc", [])
    log = ClusterLog(stack.ledger, "hpc")
    log.note_job(job_of(record), submitted_s=BEGUN, started_s=BEGUN + 3)
    seen = settle_part(stack, record, "failed", "x")
    assert nodes_s(seen) == 94
    assert seen.settled.started_s == BEGUN + 3
    log.note_job(job_of(record), ended_s=BEGUN + 60)  # cancelled after the attempt was given up
    last = settle_part(stack, seen, "failed", "x")
    assert nodes_s(last) == 114
    assert last.settled.ended_s == BEGUN + 50


def test_a_job_that_waited_in_the_queue_until_it_was_cancelled_held_no_node(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 50
    record = given_attempt(stack, "hpc", [])
    ClusterLog(stack.ledger, "hpc").note_job(job_of(record), submitted_s=BEGUN, ended_s=BEGUN + 9)
    assert nodes_s(settle_part(stack, record, "failed", "x")) == 0


def test_the_share_of_the_nodes_takes_the_place_of_whole_nodes_once_it_is_known(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 100
    record = given_attempt(stack, "ray", [], job=JOB)
    first = settle_part(stack, record, "succeeded", None)
    assert nodes_s(first) == 40
    assert first.settled.open
    share = node_seconds(12_345_678)
    last = settle_part(stack, first, "succeeded", None, node_s=share, final=True)
    assert nodes_s(last) == share
    assert not last.settled.open
    assert settle_part(stack, last, "failed", "x", node_s=node_seconds(1)) == last


def test_every_part_is_on_record_and_settling_again_writes_nothing(
    stack: Stack, clock: FakeClock
) -> None:
    clock.at_s = BEGUN + 50
    given_attempt(stack, "lambda", [a_call("a"), a_call("b", part=1)], parts=2)
    first = settle_attempt(stack, RUN, STEP, 1, "succeeded", None)
    kept = stack.ledger.query(f"run#{RUN}", "attempt#")
    assert settle_attempt(stack, RUN, STEP, 1, "failed", "too late") == first
    assert stack.ledger.query(f"run#{RUN}", "attempt#") == kept
    assert [item["sk"] for item in kept] == ["attempt#s#001#000", "attempt#s#001#001"]
    assert [row["worker"] for row in read_timeline(stack, KEYS, 1, 1)] == ["worker b"]


def test_of_two_that_settle_at_once_the_first_has_the_word(stack: Stack, clock: FakeClock) -> None:
    clock.at_s = BEGUN + 50
    record = given_attempt(stack, "lambda", [a_call("a")])
    first = settle_part(stack, record, "succeeded", None)
    assert settle_part(stack, record, "failed", "stale") == first


def test_an_attempt_that_was_never_placed_has_no_record(stack: Stack) -> None:
    assert settle_attempt(stack, RUN, "unknown", 1, "failed", "x") == []
    given_attempt(stack, "lambda", [])
    assert settle_attempt(stack, RUN, STEP, 2, "failed", "x") == []
    assert read_timeline(stack, KEYS, 7, 0) == []


def test_an_attempt_is_queued_once(stack: Stack, clock: FakeClock) -> None:
    placement = {
        "platform": "ray",
        "size": RAY_SIZE,
        "estimate": {"seconds": 12.5, "usd": "0.000000000001"},
    }
    books = [{"name": "prices", "date": "2026-08-22", "region": "us-east-1"}]
    first = queue_attempt(stack, KEYS, 1, 0, placement, books)
    clock.forward(9)
    assert queue_attempt(stack, KEYS, 1, 0, placement, books) == first
    assert find_attempt(stack, KEYS, 1, 0) == first
    assert first.estimate is not None
    assert first.estimate.usd == Decimal("0.000000000001")
    assert first.measured is None


@pytest.mark.parametrize("version", [1, 3])
def test_a_record_of_another_version_is_not_misread(version: int) -> None:
    value = an_attempt(RUN, STEP).to_json()
    with pytest.raises(UserError, match=f"has version {version}; this Trivium reads version 2"):
        Attempt.from_json(value | {"version": version})


def test_calls_of_one_part_are_not_those_of_another(stack: Stack) -> None:
    given_attempt(stack, "lambda", [a_call("a"), a_call("b", part=1), a_call("c", attempt=11)])
    assert [call["call"] for call in calls_of(stack, KEYS, 1, 0)] == ["a"]


# what an attempt failed of


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
