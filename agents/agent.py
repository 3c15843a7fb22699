"""The agent: takes work from a platform's queue, has the cluster do it, and reports back.

One process on the head node. No port is open to it: it polls. Its protocol, in the order in which
a crash may strike:

1. a message is received and hidden from others for a while, not deleted; one that is no job fails
   the step that it speaks of and goes to the dead-letter queue after a few receipts;
2. the job's token goes into the ledger, under the job's name;
3. the job is looked for by its name, and submitted only where there is none, it has left no exit
   record, and somebody waits for it; the ledger notes that it was submitted;
4. the message is deleted;
5. while the job lives its token gets heartbeats;
6. the exit record that the job leaves behind decides what is reported, also while the cluster still
   winds the job up, and the ledger's job item goes last.

On the way it notes for the account when the job held its nodes: as seen from outside, or, where the
job left an exit record, in the job's own words. The end is noted before it is reported, so that
whoever hears of it finds it.

Killed between any two of these and started again, it goes on without losing or doubling a job.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from agents.cluster import Cluster, ClusterFacts, ClusterUnavailableError, Job, JobRefusedError
from placement.errors import UserError
from runtime.batch import Part
from runtime.clock import now_s
from runtime.cluster_log import SPAN_S, ClusterLog, JobFacts
from runtime.dataflow import send_failure, send_heartbeat, send_success
from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.store import Store

HEARTBEAT_EVERY_S = 20.0  # the state machine gives up after 600 s without one
# A cluster that does not answer for so long fails its jobs, so that they go elsewhere. Sooner than
# the missing heartbeats would, because this way the reason is told.
GIVE_UP_AFTER_S = 240.0
ANNOUNCE_EVERY_S = 10.0
TELL_LOAD_EVERY_S = 60.0  # the alarm that stops an idle head looks at whole minutes
LOOK_EVERY_S = 1  # whole seconds, because the wait for messages sets the pace
IDLE_WAIT_S = 5
UNAVAILABLE_WAIT_S = 2.0
HIDDEN_S = 60  # how long a received message stays hidden; submitting takes seconds
# A message may be received so often (maxReceiveCount in template.yaml); the last time, refuse it.
MAX_RECEIPTS = 5
ALWAYS_ON = ClusterFacts()
JOB_NAME = re.compile(r"[A-Za-z0-9._-]+")  # a job's name becomes a file's and a Slurm job's

logger = logging.getLogger("trivium.agent")


@dataclass
class Watched:
    """A job that this agent looks after."""

    token: str
    part_key: str
    exit_key: str
    facts: JobFacts
    submitted_s: float | None
    answered: float  # when the cluster last told of it
    seen_running: bool = False
    heartbeat_due: float = 0.0
    given_up: bool = False

    @staticmethod
    def from_item(item: dict[str, Any]) -> Watched:
        """Return the job that an item of the ledger describes."""
        return Watched(
            token=item["token"],
            part_key=item["part_key"],
            exit_key=item["exit_key"],
            facts=JobFacts.from_json(item["facts"]),
            submitted_s=item.get("submitted_s"),
            answered=time.monotonic(),
        )


class Agent:
    """Feeds one cluster from one queue."""

    def __init__(
        self,
        aws: Aws,
        store: Store,
        ledger: Ledger,
        cluster: Cluster,
        queue_url: str,
        cluster_facts: ClusterFacts = ALWAYS_ON,
    ) -> None:
        self._aws, self._store, self._ledger = aws, store, ledger
        self._cluster, self._queue_url = cluster, queue_url
        self._facts = cluster_facts
        self._load_due = 0.0
        self._partition = f"job#{cluster.platform}"
        self._log = ClusterLog(ledger, cluster.platform)
        self._span: tuple[float, dict[str, Any]] | None = None
        self._watched: dict[str, Watched] = {}
        self._adopted = False
        self._announce_due = 0.0
        self._announced_jobs = 0
        self._stopping = self._waiting = False

    def run(self) -> None:
        """Work until asked to stop. Jobs live on; the next agent finds them again.

        What AWS or the cluster cannot do now is tried again: the agent outlasts their outages.
        """
        while not self._stopping:
            try:
                answered = self.work()
            except (BotoCoreError, ClientError) as error:
                logger.warning("AWS does not answer: %s", error)
                answered = False
            if not answered:
                with self._interruptible():
                    time.sleep(UNAVAILABLE_WAIT_S)

    def work(self) -> bool:
        """Do one round: say what the cluster is like, take new jobs, look after all.

        Returns whether the cluster answered.
        """
        if not self._adopted:
            self._adopt()
        try:
            self._announce()
            self._tell_load()
            self._take(wait_s=LOOK_EVERY_S if self._watched else IDLE_WAIT_S)
            self._look_after()
        except ClusterUnavailableError as error:
            logger.warning("the cluster does not answer: %s", error)
            for job, watched in sorted(self._watched.items()):
                self._give_up_late(job, watched, error)
            return False
        return True

    def stop(self) -> None:
        """Ask the agent to end, from a signal handler.

        Raises:
            SystemExit: it only waits, and ends at once. A message that arrives in the same moment
                comes back when its hiding ends.

        """
        self._stopping = True
        if self._waiting:
            raise SystemExit(0)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        self._waiting = True
        try:
            # Asked just before: nobody would wake it.
            if self._stopping:
                raise SystemExit(0)
            yield
        finally:
            self._waiting = False

    def _adopt(self) -> None:
        for item in self._ledger.query(self._partition):
            self._watched[item["sk"]] = Watched.from_item(item)
            logger.info("adopted job %s", item["sk"])
        self._adopted = True

    def _announce(self) -> None:
        busy_jobs = len(self._watched)
        if busy_jobs == self._announced_jobs and time.monotonic() < self._announce_due:
            return
        nodes, at_s = self._cluster.nodes().to_json() | self._facts.equipment.to_json(), now_s()
        state = nodes | {"busy_jobs": busy_jobs, "updated_s": at_s}
        state |= {"head_instance": self._facts.head_instance}
        self._ledger.set("cluster", self._cluster.platform, state)
        self._note_nodes(nodes, at_s)
        self._announced_jobs = busy_jobs
        self._announce_due = time.monotonic() + ANNOUNCE_EVERY_S

    def _tell_load(self) -> None:
        """Say how many jobs there are, for the alarm that stops an idle head."""
        if self._facts.head_instance is None or time.monotonic() < self._load_due:
            return
        queue = {"Name": "queue", "Value": self._queue_url.rsplit("/", 1)[-1]}
        told = {"MetricName": "BusyJobs", "Dimensions": [queue], "Value": len(self._watched)}
        self._aws.client("cloudwatch").put_metric_data(Namespace="Trivium", MetricData=[told])
        self._load_due = time.monotonic() + TELL_LOAD_EVERY_S

    def _note_nodes(self, nodes: dict[str, Any], at_s: float) -> None:
        """Extend the span in which the cluster was as it is now, or begin another."""
        if self._span is not None:
            self._log.note_nodes(self._span[0], at_s, self._span[1])
        if self._span is None or self._span[1] != nodes or at_s - self._span[0] >= SPAN_S:
            self._log.note_nodes(at_s, at_s, nodes)
            self._span = (at_s, nodes)

    def _take(self, wait_s: int) -> None:
        with self._interruptible():
            answer = self._aws.client("sqs").receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=HIDDEN_S,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
        for message in answer.get("Messages", []):
            self._accept(message)

    def _accept(self, message: dict[str, Any]) -> None:
        try:
            job, token, part_key = _read(message["Body"])
            self._hide_on(message)
            exit_key, facts = self._described(part_key)
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(message, f"{type(error).__name__}: {error}")
            return
        except UserError as error:
            logger.warning("job %s has no description: %s", job, error)
            send_failure(self._aws, token, "UserError", str(error))
            self._delete(message)
            return
        noted: dict[str, Any] = {"token": token, "part_key": part_key, "exit_key": exit_key}
        noted |= {"facts": facts.to_json(), "taken_s": now_s()}
        # An earlier delivery may have noted more of this job: that stays.
        watched = Watched.from_item(self._ledger.set(self._partition, job, noted))
        self._watched[job] = watched
        try:
            self._start(job, watched)
        except JobRefusedError as error:
            self._report_failure(job, watched, "JobRefused", str(error))
        except ClusterUnavailableError as error:
            # The job is noted in the ledger by now: looking after it submits it.
            logger.warning("job %s is submitted later: %s", job, error)
        self._delete(message)

    def _hide_on(self, message: dict[str, Any]) -> None:
        """Hide a message for as long again: those before it may have taken long to submit.

        Raises:
            ValueError: it has come as often as it may. Whoever took it before has died of it.

        """
        if int(message["Attributes"]["ApproximateReceiveCount"]) >= MAX_RECEIPTS:
            raise ValueError(f"it was taken {MAX_RECEIPTS} times, and never got as far as a job")
        self._aws.client("sqs").change_message_visibility(
            QueueUrl=self._queue_url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=HIDDEN_S,
        )

    def _refuse(self, message: dict[str, Any], why: str) -> None:
        """Fail the step behind a message that is no job, where it says whose it is.

        It is left in the queue: after a few receipts SQS moves it to the dead-letter queue.
        """
        logger.error("a message that is not a job: %s: %s", message["MessageId"], why)
        token = _token_of(message["Body"])
        if token:
            reason = f"The message {message['MessageId']} could not be taken as a job: {why}."
            send_failure(self._aws, token, "PoisonMessage", reason)

    def _delete(self, message: dict[str, Any]) -> None:
        self._aws.client("sqs").delete_message(
            QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
        )

    def _start(self, job: str, watched: Watched) -> None:
        if self._cluster.find(job) is not None or self._store.find(watched.exit_key) is not None:
            logger.info("job %s is there already", job)
        elif not send_heartbeat(self._aws, watched.token):
            logger.info("nobody waits for job %s any more: not submitted", job)
            self._forget(job)
            return
        else:
            facts = watched.facts
            self._cluster.submit(job, watched.part_key, facts.nodes, facts.slots, facts.kind)
            logger.info("submitted job %s", job)
        item = self._ledger.note(self._partition, job, {"submitted_s": now_s()})
        watched.submitted_s = float(item["submitted_s"])
        self._log.note_job(watched.facts, submitted_s=watched.submitted_s)

    def _look_after(self) -> None:
        for job, watched in sorted(self._watched.items()):
            found = self._cluster.find(job)
            watched.answered = time.monotonic() if found else watched.answered
            # Looked for second: a job that has ended by now had left its record before.
            record = self._store.find(watched.exit_key)
            if record is not None:
                self._report(job, watched, record)
            elif found is not None and found.state != "ended":
                self._note_running(watched, found)
                self._heartbeat(job, watched)
            elif found is None and watched.submitted_s is None:
                self._start_late(job, watched)
            else:
                self._report_lost(job, watched, found.detail if found else "unknown to the cluster")

    def _start_late(self, job: str, watched: Watched) -> None:
        """Submit a job that was noted but not submitted, because the agent or the cluster died.

        A cluster that refuses this one now may still be asked for the others.
        """
        try:
            self._start(job, watched)
        except JobRefusedError as error:
            self._report_failure(job, watched, "JobRefused", str(error))
        except ClusterUnavailableError as error:
            logger.warning("job %s is submitted later: %s", job, error)
            self._give_up_late(job, watched, error)

    def _give_up_late(self, job: str, watched: Watched, error: Exception) -> None:
        """Fail a job of which the cluster has not told for long, but go on looking for it.

        It may live: as soon as the cluster answers again, nobody waits for it, and it is cancelled.
        """
        silent_s = time.monotonic() - watched.answered
        if watched.given_up or silent_s < GIVE_UP_AFTER_S:
            return
        logger.warning("gave up job %s after %.0f s: %s", job, silent_s, error)
        reason = f"The cluster has not answered for {silent_s:.0f} s: {error}"
        send_failure(self._aws, watched.token, "ClusterUnavailable", reason)
        watched.given_up, watched.heartbeat_due = True, 0.0

    def _note_running(self, watched: Watched, found: Job) -> None:
        if found.state == "running" and not watched.seen_running:
            self._log.note_job(watched.facts, started_s=now_s())
            watched.seen_running = True

    def _heartbeat(self, job: str, watched: Watched) -> None:
        if time.monotonic() < watched.heartbeat_due:
            return
        watched.heartbeat_due = time.monotonic() + HEARTBEAT_EVERY_S
        if not send_heartbeat(self._aws, watched.token):
            logger.info("nobody waits for job %s any more: cancelled", job)
            self._cluster.cancel(job)
            self._log.note_job(watched.facts, ended_s=now_s())
            self._forget(job)

    def _report_lost(self, job: str, watched: Watched, detail: str) -> None:
        self._cluster.cancel(job)  # its wrapper is gone, but parts of it may be left
        ended_s = now_s()
        # If it was never seen running, it may have run since it was submitted.
        started_s = ended_s if watched.submitted_s is None else watched.submitted_s
        self._log.note_job(watched.facts, started_s=started_s, ended_s=ended_s)
        reason = f"The job ended ({detail}) and left no exit record."
        self._report_failure(job, watched, "JobLost", reason)

    def _report(self, job: str, watched: Watched, record: dict[str, Any]) -> None:
        ended_s = float(record["ended_s"])
        if record["outcome"] == "failed" and watched.facts.nodes > 1:
            self._cluster.cancel(job)  # the other nodes of a map may still work
            ended_s = now_s()
        spans = [(float(began), float(end)) for began, end in record.get("spans", [])]
        self._log.correct_job(watched.facts, float(record["started_s"]), ended_s, spans)
        if record["outcome"] == "succeeded":
            send_success(self._aws, watched.token, {"job": job})
            logger.info("job %s succeeded", job)
            self._forget(job)
        else:
            self._report_failure(job, watched, record["error"], record["reason"])

    def _report_failure(self, job: str, watched: Watched, error: str, reason: str) -> None:
        logger.info("job %s failed: %s: %s", job, error, reason)
        send_failure(self._aws, watched.token, error, reason)
        self._forget(job)

    def _forget(self, job: str) -> None:
        self._ledger.delete(self._partition, job)
        self._watched.pop(job, None)

    def _described(self, part_key: str) -> tuple[str, JobFacts]:
        """Return the key of a part's exit record, and what its job asks for."""
        description = self._store.get_json(part_key)
        part = Part.from_json(description)
        return part.keys.exit_record(part.attempt, part.part), JobFacts.of_part(description)


def _token_of(body: str) -> str | None:
    """Return the token in a message that may be anything; None where there is none."""
    try:
        token = json.loads(body)["token"]
    except (ValueError, KeyError, TypeError):
        return None
    return token if isinstance(token, str) and token else None


def _read(body: str) -> tuple[str, str, str]:
    """Return a message's job, token and key of its part.

    Raises:
        ValueError, KeyError, TypeError: it is no such message.

    """
    value = json.loads(body)
    job, token, part_key = value["job"], value["token"], value["part_key"]
    if not all(isinstance(field, str) and field for field in (job, token, part_key)):
        raise TypeError("`job`, `token` and `part_key` must be texts")
    if not JOB_NAME.fullmatch(job):
        raise ValueError(f"{job!r} is not a job's name")
    return job, token, part_key
