"""Head nodes are started when work comes and stopped when there is none, whenever one is told."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from agents.agent import Agent
from agents.cluster import ClusterFacts, Nodes
from control.planning import cluster_state, plan_run
from control.power import tend
from control.reporting import report_run
from control.stack import Stack
from placement.books import default_books
from placement.situation import Equipment
from ray_tasks.ray_cluster import RayCluster
from reporting.report import check_totals, parse_report
from reporting.text import head_off_texts
from runtime.cluster_log import ClusterLog
from runtime.keys import RunKeys
from runtime.requests import Aws
from tests.attempts import an_attempt, job_of, place_attempt
from tests.integration.interpreter import handler_of
from tests.support import FakeClock

AMI = "ami-12c6146b"
FACTS = {"instance_type": "c7i.large", "head_type": "c6i.large", "head_disk_gb": 20}
ANNOUNCED = FACTS | {"warm_nodes": 0, "slots_per_node": 2, "max_nodes": 4, "busy_jobs": 0}


@dataclass
class Head:
    """A head node in EC2, its cluster's item in the ledger, and its queue."""

    stack: Stack
    clock: FakeClock
    instance: str
    queue_url: str

    @property
    def state(self) -> str:
        ec2 = self.stack.aws.client("ec2")
        told = ec2.describe_instances(InstanceIds=[self.instance])["Reservations"][0]
        return str(told["Instances"][0]["State"]["Name"])

    @property
    def item(self) -> dict[str, Any]:
        item = self.stack.ledger.get("cluster", "ray")
        assert item is not None
        return item

    def speaks(self, **fields: Any) -> None:
        """Do what its agent does every ten seconds."""
        told = ANNOUNCED | {"head_instance": self.instance, "updated_s": self.clock.at_s}
        self.stack.ledger.set("cluster", "ray", told | fields)

    def gets_work(self) -> None:
        self.stack.aws.client("sqs").send_message(QueueUrl=self.queue_url, MessageBody="{}")

    def goes_down(self) -> None:
        self.stack.aws.client("ec2").stop_instances(InstanceIds=[self.instance])

    def tended(self, *, idle: bool = False) -> str | None:
        return tend(self.stack, "ray", self.queue_url, idle=idle)


@pytest.fixture
def head(stack: Stack, clock: FakeClock) -> Head:
    """Return a head that is up, whose agent has just spoken."""
    made = stack.aws.client("ec2").run_instances(ImageId=AMI, MinCount=1, MaxCount=1)
    queue_url = stack.aws.client("sqs").create_queue(QueueName="ray")["QueueUrl"]
    head = Head(stack, clock, made["Instances"][0]["InstanceId"], queue_url)
    head.speaks()
    return head


def test_an_idle_head_is_stopped_and_started_again_when_work_comes(head: Head) -> None:
    assert head.tended(idle=True) == "stop"
    assert head.state == "stopped"
    head.clock.forward(30)
    assert head.tended() is None  # EC2 tells that it has stopped
    assert head.item["head_off_s"] == head.clock.at_s
    head.clock.forward(7200)
    head.gets_work()
    assert head.tended() == "start"
    assert head.state == "running"
    assert head.tended() is None  # the alarm tells twice
    [span] = ClusterLog(head.stack.ledger, "ray").nodes(head.clock.at_s - 10, head.clock.at_s)
    assert (span.head_off, span.warm_nodes, span.until_s) == (True, 0, head.clock.at_s)
    assert span.equipment == Equipment("c6i.large", head_disk_gb=20)


def test_work_that_came_while_a_head_went_down_starts_it(head: Head) -> None:
    head.goes_down()
    head.gets_work()
    assert head.tended() == "start"


@pytest.mark.parametrize("why", ["work waits", "a job runs", "its agent is silent", "not idle"])
def test_a_head_that_may_have_work_is_not_stopped(head: Head, why: str) -> None:
    if why == "work waits":
        head.gets_work()
    if why == "a job runs":
        head.speaks(busy_jobs=1)
    if why == "its agent is silent":
        head.clock.forward(61)
    assert head.tended(idle=why != "not idle") is None
    assert head.state == "running"


def test_a_head_that_is_always_on_is_left_alone(head: Head) -> None:
    head.speaks(head_instance=None)
    head.goes_down()
    head.gets_work()
    assert head.tended(idle=True) is None
    assert head.state == "stopped"


def test_only_the_alarm_of_an_idle_cluster_stops_its_head(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIVIUM_RAY_QUEUE", head.queue_url)
    monkeypatch.setenv("TRIVIUM_HPC_QUEUE", head.queue_url)
    power, nothing = handler_of("power"), {"ray": None, "hpc": None}
    for name in ("trivium-ray-backlog", "trivium-hpc-idle"):
        assert power({"alarmData": {"alarmName": name}}) == nothing
    assert power({"source": "aws.ec2"}) == nothing
    assert head.state == "running"
    told = power({"alarmData": {"alarmName": "trivium-ray-idle"}})
    assert told == {"ray": "stop", "hpc": None}


def test_a_plan_counts_the_wait_for_a_head_that_is_off(head: Head) -> None:
    before = cluster_state(head.item, head.clock.at_s)
    head.clock.forward(100)
    assert cluster_state(head.item, head.clock.at_s) is None  # it may have crashed
    head.goes_down()
    head.tended()
    off = cluster_state(head.item, head.clock.at_s)
    assert before is not None
    assert off is not None
    assert (off.head_off, off.warm_nodes, off.max_nodes, off.idle) == (True, 0, 4, True)
    waits = {state.head_off: _queue_s(head.stack, state.head_off) for state in (before, off)}
    assert waits[True] - waits[False] == pytest.approx(default_books()[1].value("head_start_s"))


def _queue_s(stack: Stack, head_off: bool) -> float:
    """Return how long the plan of a run has its first step wait in the queue, on Ray."""
    item = stack.ledger.get("cluster", "ray") or {}
    updated_s = item["head_off_s"] - 1 if head_off else item["head_off_s"] + 1
    stack.ledger.set("cluster", "ray", {"updated_s": updated_s})
    run = f"word-count-{int(head_off):012d}"
    inputs = {"texts": [["raw/word-count/a.txt", 2_000_000]]}
    options = {"place": {"pieces": "ray"}}
    fields = {"run": run, "workflow": "word-count", "inputs": inputs, "options": options}
    stack.ledger.put(f"run#{run}", "run", fields)
    plan_run(stack, run)
    steps = stack.store.get_json(RunKeys(run).plan)["steps"]
    [step] = [each for each in steps if each["step"] == "pieces"]
    return float(step["estimate"]["queue_s"])


def test_a_report_says_what_a_stopped_head_saved_and_cost_in_waiting(
    head: Head, clock: FakeClock
) -> None:
    """The run begins, queues its job after 5 s, the head starts after 45 s and speaks after 150."""
    head.goes_down()
    clock.forward(1)
    head.tended()
    stack, begun_s = head.stack, clock.at_s
    run = "word-count-0123456789ab"
    fields = {"run": run, "workflow": "word-count", "execution": "a:b:c", "started_s": begun_s}
    stack.ledger.put(f"run#{run}", "run", fields | {"status": "running"})
    size = {"instance_type": "c7i.large", "nodes": 1, "slots": 2, "batches": 4}
    record = an_attempt(run, "pieces", 1, platform="ray", size=size, queued_s=begun_s + 5)
    estimate = {"seconds": 1.0, "usd": "0.1"}
    steps = [{"step": "pieces", "estimate": estimate, "rejected": []}]
    stack.store.put_json(RunKeys(run).plan, {"steps": steps, "estimate": estimate})
    placement = {"platform": "ray", "size": size, "share": 1.0}
    fields = {"step": "pieces", "status": "done", "tasks": 1, "order": 0}
    stack.ledger.put(f"run#{run}", "step#pieces", fields | {"placements": [[placement]]})
    place_attempt(stack, record)
    clock.forward(45)
    head.gets_work()
    assert head.tended() == "start"
    clock.forward(105)
    log = ClusterLog(stack.ledger, "ray")
    log.correct_job(job_of(record), begun_s + 160, begun_s + 190)
    log.note_nodes(begun_s + 150, begun_s + 200, FACTS | {"warm_nodes": 1})
    clock.forward(50)
    report_run(stack, run, None)
    report = parse_report(json.loads(json.dumps(stack.store.get_json(RunKeys(run).report_json))))
    check_totals(report)
    lines = {line.kind: line.quantity for line in report.shared_items}
    assert lines["head"] == 200 - 45  # from its start, which EC2 bills
    assert lines["idle"] == 50 - 30
    [off] = report.heads_off
    assert (off.platform, int(off.quantity), off.waited_s) == ("ray", 45, 145.0)
    hourly = default_books()[0].instance_usd_per_hour("c6i.large")
    assert abs(off.usd - hourly / 3600 * 45) < Decimal("1e-11")
    [said] = head_off_texts(report)
    assert said == (
        f"ray: its head was stopped for 45.0 s of the run, which saved ${off.usd:.6f}; "
        "it was waited for 2m 25s."
    )


class _IdleCluster(RayCluster):
    """A Ray cluster whose head answers that one worker is up."""

    def __init__(self) -> None:
        super().__init__("http://head", "token", "c7i.large", 4)

    def nodes(self) -> Nodes:
        return Nodes("c7i.large", 1, 2, 4)


@pytest.mark.parametrize("instance", [None, "i-0123456789abcdef0"])
def test_an_agent_tells_of_its_load_where_its_head_may_be_stopped(
    head: Head, instance: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.agent.IDLE_WAIT_S", 0)
    stack, facts = head.stack, ClusterFacts(Equipment("c6i.large"), instance)
    with contextlib.closing(_IdleCluster()) as cluster:
        agent = Agent(Aws(), stack.store, stack.ledger, cluster, head.queue_url, facts)
        assert agent.work()
        assert agent.work()
    assert head.item["head_instance"] == instance
    told = stack.aws.client("cloudwatch").list_metrics(Namespace="Trivium")["Metrics"]
    assert [metric["MetricName"] for metric in told] == ([] if instance is None else ["BusyJobs"])
    if instance is not None:
        [metric] = told
        assert metric["Dimensions"] == [{"Name": "queue", "Value": "ray"}]
