"""The agent's protocol, with everything around it in memory and a crash wherever one can strike."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from agents import agent as agent_module
from agents.agent import HIDDEN_S, MAX_RECEIPTS, Agent
from agents.cluster import ClusterUnavailableError, Job, JobRefusedError, Nodes
from runtime.cluster_log import Kind
from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.store import Store
from tests.support import FakeClock

JOB, TOKEN, PART, EXIT = "run-step-a1-p0", "the token", "part.json", "runs/run/steps/step/a1/p0"
DESCRIPTION = {
    "run": "run",
    "step": "step",
    "attempt": 1,
    "part": 0,
    "platform": "hpc",
    "kind": "mpi",
    "size": {"instance_type": "c5n.9xlarge", "nodes": 1, "slots": 2, "batches": 1},
    "queued_s": 1_000.0,
    "code": {"run": "module:function"},
}
SUCCEEDED = {
    "outcome": "succeeded",
    "error": None,
    "reason": None,
    "started_s": 1_010.0,
    "ended_s": 1_020.0,
}
FAILED = SUCCEEDED | {"outcome": "failed"}


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the agent may catch it."""


@dataclass
class World:
    """All that outlives an agent: queue, ledger, bucket, cluster, state machine."""

    messages: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=lambda: {PART: DESCRIPTION})
    jobs: dict[str, int] = field(default_factory=dict)  # how often a job may still be seen alive
    lives: int = 1  # ... when it is submitted
    record: dict[str, Any] | None = field(default_factory=lambda: dict(SUCCEEDED))
    waiting: set[str] = field(default_factory=lambda: {TOKEN})
    submitted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    told: list[tuple[str, ...]] = field(default_factory=list)
    sent: int = 0
    receipts: int = 1  # how often each message has come by now
    hidden_on: list[int] = field(default_factory=list)
    calls: int = 0
    kill_before: int | None = None
    kill_after: int | None = None
    broken: dict[str, Exception] = field(default_factory=dict)
    nodes: int = 1
    on_told: Callable[[], None] = lambda: None

    def call[T](self, name: str, effect: Callable[[], T]) -> T:
        """Do one thing in the world, with the crash or the outage that is due."""
        self.calls += 1
        if self.calls == self.kill_before:
            raise Killed
        if name in self.broken:
            raise self.broken[name]
        done = effect()
        if self.calls == self.kill_after:
            raise Killed
        return done

    def send(self, body: str | None = None) -> None:
        """Put a message into the queue."""
        value = {"job": JOB, "token": TOKEN, "part_key": PART}
        self.sent += 1
        self.messages[f"m{self.sent}"] = json.dumps(value) if body is None else body

    def agent(self) -> Agent:
        """Start an agent; what an earlier one had received is visible again."""
        self.hidden.clear()
        return Agent(_Aws(self), _Store(self), _Ledger(self), _Cluster(self), "queue")

    @property
    def held(self) -> dict[str, Any]:
        """Return what is noted of the one job for the account."""
        [item] = [item for (part, _), item in self.items.items() if part == "held#hpc"]
        return item

    @property
    def job_items(self) -> list[str]:
        """Return the names of the jobs that the ledger says are looked after."""
        return [sort for partition, sort in self.items if partition == "job#hpc"]


class _Aws(Aws):
    def __init__(self, world: World) -> None:
        self.world = world

    def client(self, service: str) -> Any:
        return {"sqs": _Sqs, "stepfunctions": _StepFunctions}[service](self.world)


@dataclass
class _Sqs:
    world: World

    def receive_message(self, **_: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            seen = sorted(set(self.world.messages) - self.world.hidden)
            self.world.hidden.update(seen)
            found = [
                {
                    "MessageId": name,
                    "ReceiptHandle": name,
                    "Body": self.world.messages[name],
                    "Attributes": {"ApproximateReceiveCount": str(self.world.receipts)},
                }
                for name in seen
            ]
            return {"Messages": found} if found else {}

        return self.world.call("receive", effect)

    def change_message_visibility(self, **asked: Any) -> None:
        assert asked["ReceiptHandle"] in self.world.hidden
        self.world.call("hide on", lambda: self.world.hidden_on.append(asked["VisibilityTimeout"]))

    def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        assert QueueUrl == "queue"
        self.world.call("delete message", lambda: self.world.messages.pop(ReceiptHandle, None))


@dataclass
class _StepFunctions:
    world: World

    def send_task_heartbeat(self, taskToken: str) -> None:  # noqa: N803
        self.world.call("heartbeat", lambda: self._check(taskToken))

    def send_task_success(self, taskToken: str, output: str) -> None:  # noqa: N803
        self.world.call("success", lambda: self._end(taskToken, ("success", output)))

    def send_task_failure(self, taskToken: str, error: str, cause: str) -> None:  # noqa: N803
        self.world.call("failure", lambda: self._end(taskToken, ("failure", error, cause)))

    def _check(self, token: str) -> None:
        if token not in self.world.waiting:
            raise ClientError({"Error": {"Code": "TaskTimedOut"}}, "SendTask")

    def _end(self, token: str, words: tuple[str, ...]) -> None:
        self._check(token)
        self.world.on_told()
        self.world.waiting.remove(token)
        self.world.told.append(words)


class _Store(Store):
    def __init__(self, world: World) -> None:
        self.bucket = "bucket"
        self.world = world

    def get_json(self, key: str) -> Any:
        if key not in self.world.objects:
            raise self._missing(key)
        return self.world.call("read", lambda: self.world.objects[key])


class _Ledger(Ledger):
    def __init__(self, world: World) -> None:
        self.world = world

    def set(self, partition: str, sort: str, fields: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            item = self.world.items.setdefault((partition, sort), {"pk": partition, "sk": sort})
            item.update(fields)
            return dict(item)

        return self.world.call("note", effect)

    def note(self, partition: str, sort: str, fields: Any) -> dict[str, Any]:
        def effect() -> dict[str, Any]:
            item = self.world.items.setdefault((partition, sort), {"pk": partition, "sk": sort})
            item.update({name: fields[name] for name in fields if name not in item})
            return dict(item)

        return self.world.call("note", effect)

    def put(self, partition: str, sort: str, fields: Any, *, new: bool = False) -> bool:
        assert not new
        item = {"pk": partition, "sk": sort, **fields}
        self.world.call("note nodes", lambda: self.world.items.update({(partition, sort): item}))
        return True

    def query(self, partition: str, prefix: str = "", *, newest: int | None = None) -> list[Any]:
        assert (prefix, newest) == ("", None)
        found = [dict(item) for key, item in sorted(self.world.items.items())]
        return self.world.call("adopt", lambda: [item for item in found if item["pk"] == partition])

    def delete(self, partition: str, sort: str) -> None:
        self.world.call("forget", lambda: self.world.items.pop((partition, sort), None))


class _Cluster:
    platform = "hpc"

    def __init__(self, world: World) -> None:
        self.world = world

    def nodes(self) -> Nodes:
        return self.world.call("nodes", lambda: Nodes("c5n.9xlarge", self.world.nodes, 2, 1))

    def find(self, job: str) -> Job | None:
        return self.world.call("find", lambda: self._find(job))

    def _find(self, job: str) -> Job | None:
        if job not in self.world.jobs:
            return None
        if self.world.jobs[job] > 0:
            self.world.jobs[job] -= 1
            return Job("running", "RUNNING")
        if self.world.record is not None:
            self.world.objects[f"{EXIT}.exit.json"] = self.world.record
        return Job("ended", "COMPLETED")

    def submit(self, job: str, part_key: str, nodes: int, slots: int, kind: Kind) -> None:
        assert (part_key, nodes, slots, kind) == (PART, 1, 2, DESCRIPTION["kind"])

        def effect() -> None:
            self.world.submitted.append(job)
            self.world.jobs[job] = self.world.lives

        self.world.call("submit", effect)

    def cancel(self, job: str) -> None:
        self.world.call("cancel", lambda: self.world.cancelled.append(job))


def work(agent: Agent, rounds: int = 6) -> None:
    for _ in range(rounds):
        agent.work()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the agent's clock on."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def move(seconds: float) -> None:
        now[0] += seconds

    return move


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what moves the wall clock on."""
    fake = FakeClock()
    monkeypatch.setattr("runtime.clock.time", fake)
    return fake.forward


def test_a_job_is_submitted_once_reported_once_and_leaves_nothing_behind(world: World) -> None:
    world.send()
    work(world.agent())
    assert world.submitted == [JOB]
    assert world.told == [("success", json.dumps({"job": JOB}))]
    assert (world.messages, world.job_items, world.cancelled) == ({}, [], [])


def test_the_cluster_is_announced_with_the_jobs_that_keep_it_busy(
    world: World, clock: Callable[[float], None]
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    clock(11)
    agent.work()
    announced = world.items["cluster", "hpc"]
    assert announced["instance_type"] == "c5n.9xlarge"
    assert (announced["warm_nodes"], announced["slots_per_node"]) == (1, 2)
    assert (announced["max_nodes"], announced["busy_jobs"]) == (1, 1)


def calls_of_a_whole_job() -> int:
    """Return how many calls the world gets until a job is done and forgotten."""
    world = World()
    world.send()
    agent = world.agent()
    while not world.told or world.job_items:
        agent.work()
    return world.calls


@pytest.mark.parametrize("moment", ["kill_before", "kill_after"])
@pytest.mark.parametrize("call", range(1, calls_of_a_whole_job() + 1))
def test_an_agent_killed_around_any_of_its_calls_neither_loses_nor_doubles_the_job(
    moment: str, call: int
) -> None:
    world = World()
    world.send()
    setattr(world, moment, call)
    with pytest.raises(Killed):
        work(world.agent(), 20)
    work(world.agent(), 20)
    assert world.submitted == [JOB]
    assert world.told == [("success", json.dumps({"job": JOB}))]
    assert (world.messages, world.job_items, world.cancelled) == ({}, [], [])
    assert (world.held["started_s"], world.held["ended_s"]) == (1_010.0, 1_020.0)


@pytest.mark.parametrize("first", range(1, calls_of_a_whole_job() + 1))
def test_two_crashes_in_a_row_are_survived_as_well(first: int) -> None:
    for second in range(1, calls_of_a_whole_job() + 3):
        world = World()
        world.send()
        world.kill_after = first
        with pytest.raises(Killed):
            work(world.agent(), 20)
        world.calls, world.kill_after = 0, second
        try:
            work(world.agent(), 20)
        except Killed:
            work(world.agent(), 20)
        assert world.submitted == [JOB]
        assert world.told == [("success", json.dumps({"job": JOB}))]
        assert (world.messages, world.job_items) == ({}, [])


def test_a_job_that_left_a_record_held_its_nodes_for_as_long_as_the_record_says(
    world: World,
) -> None:
    world.lives = 3
    world.send()
    work(world.agent())
    assert (world.held["run"], world.held["step"], world.held["slots"]) == ("run", "step", 2)
    assert (world.held["started_s"], world.held["ended_s"]) == (1_010.0, 1_020.0)


def test_a_lost_job_held_its_nodes_from_when_it_was_seen_first_until_it_was_missed(
    world: World, moments: Callable[[float], None]
) -> None:
    world.lives, world.record = 2, None
    world.send()
    agent = world.agent()
    agent.work()
    begun_s = world.held["started_s"]
    moments(30)
    noted_before_told: list[bool] = []
    world.on_told = lambda: noted_before_told.append("ended_s" in world.held)
    work(world.agent())
    assert (world.held["started_s"], world.held["ended_s"]) == (begun_s, begun_s + 30)
    assert noted_before_told == [True]


def test_a_lost_job_that_was_never_seen_running_may_have_run_since_it_was_submitted(
    world: World, moments: Callable[[float], None]
) -> None:
    world.lives, world.record = 0, None
    world.send()
    agent = world.agent()
    world.broken["find"] = ClusterUnavailableError("busy")
    agent.work()
    world.broken.clear()
    agent._start(JOB, agent._watched[JOB])
    moments(30)
    work(agent)
    assert world.told[0][1] == "JobLost"
    assert world.held["started_s"] == world.held["submitted_s"]
    assert world.held["ended_s"] == world.held["started_s"] + 30


def test_a_cancelled_job_held_its_nodes_until_it_was_cancelled(
    world: World, clock: Callable[[float], None], moments: Callable[[float], None]
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    begun_s = world.held["started_s"]
    world.waiting.clear()
    clock(21)
    moments(21)
    agent.work()
    assert world.cancelled == [JOB]
    assert (world.held["started_s"], world.held["ended_s"]) == (begun_s, begun_s + 21)


def spans_of(world: World) -> list[tuple[float, float, int]]:
    """Return from when until when how many nodes were up, as noted."""
    notes = [item for (part, _), item in sorted(world.items.items()) if part == "up#hpc"]
    return [(note["from_s"], note["until_s"], note["warm_nodes"]) for note in notes]


def test_nodes_that_are_up_are_noted_as_spans_and_a_change_begins_another(
    world: World, clock: Callable[[float], None], moments: Callable[[float], None]
) -> None:
    agent = world.agent()
    for nodes in (1, 1, 3, 3):
        world.nodes = nodes
        agent.work()
        clock(11)
        moments(11)
    first, second = spans_of(world)
    assert (first[1] - first[0], first[2]) == (22, 1)
    assert (second[0], second[1] - second[0], second[2]) == (first[1], 11, 3)


def test_a_message_that_comes_twice_does_not_submit_twice(world: World) -> None:
    world.lives = 5
    world.send()
    agent = world.agent()
    agent.work()
    world.send()
    work(agent, 20)
    assert world.submitted == [JOB]
    assert [words[0] for words in world.told] == ["success"]


def test_a_message_that_comes_again_after_all_is_over_is_dropped(world: World) -> None:
    world.send()
    agent = world.agent()
    work(agent)
    world.send()
    work(agent)
    assert world.submitted == [JOB]
    assert len(world.told) == 1
    assert (world.messages, world.job_items) == ({}, [])


def test_a_job_that_left_an_exit_record_is_only_reported(world: World) -> None:
    world.objects[f"{EXIT}.exit.json"] = SUCCEEDED
    world.send()
    work(world.agent())
    assert world.submitted == []
    assert [words[0] for words in world.told] == ["success"]


def test_a_job_is_reported_as_soon_as_its_record_is_there_while_the_cluster_winds_it_up(
    world: World,
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    assert world.told == []
    world.objects[f"{EXIT}.exit.json"] = SUCCEEDED
    agent.work()
    assert [words[0] for words in world.told] == ["success"]
    assert (world.job_items, world.cancelled) == ([], [])


def test_a_failed_job_is_reported_with_its_error_and_its_sentence(world: World) -> None:
    world.record = FAILED | {"error": "UserError", "reason": "a.txt: is not UTF-8."}
    world.send()
    work(world.agent())
    assert world.told == [("failure", "UserError", "a.txt: is not UTF-8.")]
    assert (world.messages, world.job_items) == ({}, [])


def test_a_job_that_ended_without_an_exit_record_is_lost_and_its_remains_are_swept(
    world: World,
) -> None:
    world.record = None
    world.send()
    work(world.agent())
    [(verdict, error, cause)] = world.told
    assert (verdict, error) == ("failure", "JobLost")
    assert cause == "The job ended (COMPLETED) and left no exit record."
    assert world.cancelled == [JOB]
    assert world.submitted == [JOB]


def test_a_submitted_job_that_the_cluster_has_forgotten_is_lost_and_not_run_again(
    world: World,
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    world.jobs.clear()  # the head node was restarted
    work(world.agent())
    [(verdict, error, cause)] = world.told
    assert (verdict, error) == ("failure", "JobLost")
    assert "unknown to the cluster" in cause
    assert world.submitted == [JOB]


def test_a_job_for_which_nobody_waits_any_more_is_cancelled(
    world: World, clock: Callable[[float], None]
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    world.waiting.clear()
    work(agent)
    assert world.cancelled == []  # no heartbeat was due
    clock(21)
    work(agent)
    assert world.cancelled == [JOB]
    assert (world.told, world.job_items) == ([], [])


def test_a_job_for_which_nobody_waits_when_its_message_comes_is_never_submitted(
    world: World,
) -> None:
    world.waiting.clear()
    world.send()
    work(world.agent())
    assert (world.submitted, world.cancelled, world.told) == ([], [], [])
    assert (world.messages, world.job_items) == ({}, [])


def test_heartbeats_come_every_twenty_seconds_while_the_job_lives(
    world: World, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []

    def beat(_: Aws, token: str) -> bool:
        beats.append(token)
        return True

    monkeypatch.setattr(agent_module, "send_heartbeat", beat)
    world.lives = 1000
    world.send()
    agent = world.agent()
    for _ in range(100):
        agent.work()
        clock(1)
    # One before it is submitted, one when it is first seen, then one in twenty seconds.
    assert len(beats) == 2 + 4


@pytest.mark.parametrize("broken", ["find", "submit"])
def test_a_cluster_that_does_not_answer_keeps_the_job(world: World, broken: str) -> None:
    world.broken[broken] = ClusterUnavailableError("connection refused")
    world.send()
    agent = world.agent()
    work(agent)
    assert world.told == []
    assert world.job_items == [JOB]
    world.broken.clear()
    work(agent)
    assert world.submitted == [JOB]
    assert [words[0] for words in world.told] == ["success"]
    assert world.messages == {}


def test_while_the_cluster_cannot_be_described_messages_stay_in_the_queue(world: World) -> None:
    world.broken["nodes"] = ClusterUnavailableError("starting")
    world.send()
    agent = world.agent()
    assert agent.work() is False
    assert world.hidden == set()
    world.broken.clear()
    work(agent)
    assert [words[0] for words in world.told] == ["success"]


def test_one_job_that_the_cluster_cannot_take_now_does_not_keep_it_from_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(_: _Cluster, job: str, part_key: str, *_size: int | Kind) -> None:
        if job == JOB:
            raise ClusterUnavailableError("not this one")
        world.submitted.append(part_key)
        world.jobs[job] = 1

    monkeypatch.setattr(_Cluster, "submit", submit)
    world.record = None
    world.waiting.add("other token")
    world.objects["other.json"] = DESCRIPTION | {"step": "other"}
    world.send()
    world.send(json.dumps({"job": "z", "token": "other token", "part_key": "other.json"}))
    agent = world.agent()
    agent.work()
    world.objects["runs/run/steps/other/a1/p0.exit.json"] = SUCCEEDED
    work(agent)
    assert world.told == [("success", json.dumps({"job": "z"}))]
    assert world.job_items == [JOB]


def test_after_four_silent_minutes_the_job_fails_and_is_cancelled_when_it_is_seen_again(
    world: World, clock: Callable[[float], None]
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    agent.work()
    world.broken["find"] = ClusterUnavailableError("connection refused")
    clock(239)
    work(agent)
    assert world.told == []
    clock(2)
    work(agent)
    [(verdict, error, cause)] = world.told
    assert (verdict, error) == ("failure", "ClusterUnavailable")
    assert "connection refused" in cause
    assert world.job_items == [JOB]
    world.broken.clear()
    work(agent)
    assert (world.cancelled, world.job_items) == ([JOB], [])


def test_a_job_that_the_cluster_never_took_fails_after_four_minutes_and_is_never_submitted(
    world: World, clock: Callable[[float], None]
) -> None:
    world.broken["submit"] = ClusterUnavailableError("try again later")
    world.send()
    agent = world.agent()
    work(agent)
    clock(241)
    work(agent)
    assert [words[1] for words in world.told] == ["ClusterUnavailable"]
    world.broken.clear()
    work(agent)
    assert (world.submitted, world.job_items) == ([], [])


@pytest.mark.parametrize("adopted", [False, True])
def test_a_job_that_the_cluster_refuses_fails_with_the_clusters_words(
    world: World, *, adopted: bool
) -> None:
    world.broken["submit"] = ClusterUnavailableError("not yet")
    world.send()
    if adopted:
        work(world.agent())
    world.broken["submit"] = JobRefusedError("Slurm refuses it: no such partition")
    work(world.agent())
    assert world.told == [("failure", "JobRefused", "Slurm refuses it: no such partition")]
    assert (world.messages, world.job_items) == ({}, [])


@pytest.mark.parametrize(
    "body",
    [
        "not JSON",
        "[]",
        '"text"',
        "3",
        "{}",
        '{"job": "a", "token": "t"}',
        '{"job": 7, "token": "t", "part_key": "part.json"}',
        '{"job": "", "token": "t", "part_key": "part.json"}',
        '{"job": "../../etc/passwd", "token": "t", "part_key": "part.json"}',
        '{"job": "a", "token": null, "part_key": "part.json"}',
        '{"job": "a", "token": "t", "part_key": "strange.json"}',
    ],
)
def test_a_message_that_is_no_job_is_left_for_the_dead_letter_queue(
    world: World, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.objects["strange.json"] = {"no": "part"}
    world.send(body)
    world.send()
    with caplog.at_level(logging.ERROR):
        work(world.agent())
    assert list(world.messages) == ["m1"]  # and the job behind it is not held up
    assert [words[0] for words in world.told] == ["success"]
    assert "a message that is not a job: m1" in caplog.text


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"job": "../etc", "token": "other"}, "KeyError: 'part_key'"),
        ({"job": "../etc", "token": "other", "part_key": PART}, "'../etc' is not a job's name"),
        ({"job": "a", "token": "other", "part_key": "strange.json"}, "KeyError: 'run'"),
    ],
)
def test_a_message_that_is_no_job_fails_the_step_it_speaks_of(
    world: World, body: dict[str, str], said: str
) -> None:
    world.objects["strange.json"] = {"no": "part"}
    world.waiting.add("other")
    world.send(json.dumps(body))
    work(world.agent())
    [(verdict, error, cause)] = world.told
    assert (verdict, error) == ("failure", "PoisonMessage")
    assert said in cause
    assert (list(world.messages), world.submitted) == (["m1"], [])


def test_a_message_that_comes_for_the_last_time_is_refused_and_its_step_told(world: World) -> None:
    world.receipts = MAX_RECEIPTS
    world.send()
    work(world.agent())
    reason = "it was taken 5 times, and never got as far as a job."
    said = f"The message m1 could not be taken as a job: ValueError: {reason}"
    assert world.told == [("failure", "PoisonMessage", said)]
    assert world.submitted == []


def test_a_message_stays_hidden_while_it_is_worked_on(world: World) -> None:
    world.send()
    work(world.agent())
    assert world.hidden_on == [HIDDEN_S]


def test_a_job_without_a_description_fails_with_the_sentence_that_says_so(world: World) -> None:
    world.objects.clear()
    world.send()
    work(world.agent())
    [(verdict, error, cause)] = world.told
    assert (verdict, error) == ("failure", "UserError")
    assert "There is no object s3://bucket/part.json" in cause
    assert (world.messages, world.job_items, world.submitted) == ({}, [], [])


@pytest.mark.parametrize("broken", ["receive", "adopt", "note", "heartbeat", "success", "forget"])
def test_an_outage_of_aws_ends_neither_the_agent_nor_the_job(
    world: World, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.send()
    agent = world.agent()
    world.broken[broken] = EndpointConnectionError(endpoint_url="https://aws")
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        world.hidden.clear()
        if len(naps) == 3:
            world.broken.clear()
        if len(naps) > 3 or (len(naps) == 3 and world.told):
            agent.stop()

    monkeypatch.setattr(time, "sleep", nap)
    rounds = iter(range(30))
    whole_round = agent.work

    def bounded() -> bool:
        if next(rounds) == 29:
            agent.stop()
        return whole_round()

    monkeypatch.setattr(agent, "work", bounded)
    with contextlib.suppress(SystemExit):
        agent.run()
    world.broken.clear()
    work(world.agent())
    assert len(naps) >= 3
    assert world.submitted == [JOB]
    assert [words[0] for words in world.told] == ["success"]
    assert (world.messages, world.job_items) == ({}, [])


def test_asked_to_stop_while_it_works_the_agent_ends_its_round_and_leaves_the_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.lives = 100
    world.send()
    agent = world.agent()
    submit = _Cluster.submit

    def submit_and_stop(
        cluster: _Cluster, job: str, part_key: str, nodes: int, slots: int, kind: Kind
    ) -> None:
        agent.stop()
        submit(cluster, job, part_key, nodes, slots, kind)

    monkeypatch.setattr(_Cluster, "submit", submit_and_stop)
    agent.run()
    assert world.submitted == [JOB]
    assert world.cancelled == []
    assert world.job_items == [JOB]
    assert world.messages == {}


def test_asked_to_stop_while_it_waits_for_messages_the_agent_ends_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = world.agent()
    monkeypatch.setattr(_Sqs, "receive_message", lambda *_, **__: agent.stop())
    with pytest.raises(SystemExit) as ended:
        agent.run()
    assert ended.value.code == 0
