"""What agents note is found again by the moment that somebody asks for, and written once."""

from __future__ import annotations

from control.stack import Stack
from placement.node_time import Up, microseconds
from placement.situation import Equipment
from runtime.cluster_log import (
    JOB_TIMEOUT_S,
    SILENT_AFTER_S,
    ClusterLog,
    JobFacts,
    NotedNodes,
    bridged,
)

BEGUN = 1_700_000_000.0
NODES = {"instance_type": "c7i.large", "warm_nodes": 1, "slots_per_node": 2, "max_nodes": 4}


def facts(run: str = "r", queued_s: float = BEGUN) -> JobFacts:
    return JobFacts(run, "s", 1, 0, queued_s, nodes=2, slots=4, kind="map")


def test_the_first_word_on_a_jobs_start_and_end_stands(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "hpc")
    for shift in (0.0, 9.0):
        log.note_job(facts(), submitted_s=BEGUN + 1 + shift)
        log.note_job(facts(), started_s=BEGUN + 2 + shift)
        log.note_job(facts(), ended_s=BEGUN + 30 + shift)
    job = log.job(BEGUN, "r-s-a1-p0")
    assert job is not None
    assert (job.started_s, job.ended_s, job.facts) == (BEGUN + 2, BEGUN + 30, facts())


def test_the_jobs_own_word_goes_before_what_was_seen_of_it(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "hpc")
    log.note_job(facts(), started_s=BEGUN + 2)
    log.correct_job(facts(), BEGUN + 1, BEGUN + 31)
    log.note_job(facts(), started_s=BEGUN + 5, ended_s=BEGUN + 99)
    job = log.job(BEGUN, "r-s-a1-p0")
    assert job is not None
    assert (job.started_s, job.ended_s) == (BEGUN + 1, BEGUN + 31)


def test_jobs_of_all_runs_are_found_that_may_have_run_between_two_moments(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "ray")
    queued = {"past": -JOB_TIMEOUT_S - 7200, "long": -JOB_TIMEOUT_S, "now": 0.0, "next": 61.0}
    for run, shift in queued.items():
        log.note_job(facts(run, BEGUN + shift), started_s=BEGUN + shift)
    ClusterLog(stack.ledger, "hpc").note_job(facts("elsewhere"), started_s=BEGUN)
    assert [job.facts.run for job in log.jobs(BEGUN, BEGUN + 60)] == ["long", "now"]


def test_a_job_that_still_runs_holds_its_nodes_until_now(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "ray")
    log.note_job(facts(), submitted_s=BEGUN)
    [waiting] = log.jobs(BEGUN, BEGUN + 60)
    assert waiting.held(BEGUN + 50) == []
    log.note_job(facts(), started_s=BEGUN + 5)
    [running] = log.jobs(BEGUN, BEGUN + 60)
    [held] = running.held(BEGUN + 50)
    assert (held.start_us, held.end_us) == (microseconds(BEGUN + 5), microseconds(BEGUN + 50))


def test_nodes_of_a_map_that_ended_early_were_held_until_then(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "hpc")
    job = JobFacts("r", "s", 1, 0, BEGUN, nodes=4, slots=7, kind="map")
    log.note_job(job, started_s=BEGUN + 5)
    log.correct_job(job, BEGUN + 4, BEGUN + 60, [(BEGUN + 4, BEGUN + 20), (BEGUN + 9, BEGUN + 30)])
    [noted] = log.jobs(BEGUN, BEGUN + 60)
    held = [
        (one.start_us - microseconds(BEGUN), one.end_us - microseconds(BEGUN), one.nodes, one.slots)
        for one in noted.held(BEGUN + 99)
    ]
    assert held == [
        (4_000_000, 20_000_000, 1, 2),
        (9_000_000, 30_000_000, 1, 2),
        (4_000_000, 60_000_000, 2, 3),
    ]


def test_a_span_of_nodes_is_extended_under_its_own_name(stack: Stack) -> None:
    log = ClusterLog(stack.ledger, "ray")
    log.note_nodes(BEGUN, BEGUN, NODES)
    log.note_nodes(BEGUN, BEGUN + 10, NODES)
    log.note_nodes(BEGUN + 10, BEGUN + 20, NODES | {"warm_nodes": 3, "booting_nodes": 1})
    assert log.nodes(BEGUN + 5, BEGUN + 60) == [
        NotedNodes(BEGUN, BEGUN + 10, "c7i.large", 1, None, None, Equipment()),
        NotedNodes(BEGUN + 10, BEGUN + 20, "c7i.large", 3, 1, None, Equipment()),
    ]


def test_a_short_silence_is_bridged_and_a_long_one_is_not() -> None:
    def span(from_s: float, until_s: float) -> NotedNodes:
        return NotedNodes(from_s, until_s, "c7i.large", 1, None, None, Equipment())

    found = bridged([span(0, 100), span(130, 200), span(400, 500)])
    ends = [(up.start_us // 1_000_000, up.end_us // 1_000_000) for up in found]
    assert ends == [(0, 130), (130, 200 + SILENT_AFTER_S), (400, 500 + SILENT_AFTER_S)]
    assert all(isinstance(up, Up) for up in found)
