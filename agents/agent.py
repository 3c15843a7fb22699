"""The agent: takes work from a platform's queue, has the cluster do it, and reports back.

One process on the head node. No port is open to it: it polls. Its protocol, in the order in which
a crash may strike:

1. a message is received and hidden from others for a while, not deleted;
2. the job's token goes into the ledger, under the job's name;
3. the job is looked for by its name, and submitted only where there is none and it has left no
   exit record;
4. the message is deleted;
5. while the job lives its token gets heartbeats;
6. the exit record that the job leaves behind decides what is reported, and the ledger's job item
   goes last.

Killed between any two of these and started again, it goes on without losing or doubling a job.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from agents.cluster import Cluster, ClusterUnavailableError, Job
from placement.errors import UserError
from runtime.batch import Part
from runtime.clock import now_s
from runtime.dataflow import send_failure, send_heartbeat, send_success
from runtime.ledger import Ledger
from runtime.requests import Aws
from runtime.store import Store

HEARTBEAT_EVERY_S = 20.0  # the state machine gives up after 300 s without one
ANNOUNCE_EVERY_S = 10.0
LOOK_EVERY_S = 0.5
IDLE_WAIT_S = 5
UNAVAILABLE_WAIT_S = 2.0
HIDDEN_S = 60  # how long a received message stays hidden; submitting takes seconds

logger = logging.getLogger("trivium.agent")


@dataclass
class Watched:
    """A job that this agent looks after."""

    token: str
    part_key: str
    heartbeat_due: float = 0.0


class Agent:
    """Feeds one cluster from one queue."""

    def __init__(
        self, aws: Aws, store: Store, ledger: Ledger, cluster: Cluster, queue_url: str
    ) -> None:
        self._aws, self._store, self._ledger = aws, store, ledger
        self._cluster, self._queue_url = cluster, queue_url
        self._partition = f"job#{cluster.platform}"
        self._watched: dict[str, Watched] = {}
        self._announce_due = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Work until asked to stop. Jobs live on; the next agent finds them again."""
        self._adopt()
        while not self.stopping.is_set():
            try:
                self._announce()
                self._take(wait_s=1 if self._watched else IDLE_WAIT_S)
                self._look_after()
            except ClusterUnavailableError as error:
                logger.warning("the cluster does not answer: %s", error)
                self.stopping.wait(UNAVAILABLE_WAIT_S)

    def _adopt(self) -> None:
        for item in self._ledger.query(self._partition):
            self._watched[item["sk"]] = Watched(item["token"], item["part_key"])
            logger.info("adopted job %s", item["sk"])

    def _announce(self) -> None:
        if time.monotonic() < self._announce_due:
            return
        state = self._cluster.nodes().to_json()
        state |= {"busy_jobs": len(self._watched), "updated_s": now_s()}
        self._ledger.set("cluster", self._cluster.platform, state)
        self._announce_due = time.monotonic() + ANNOUNCE_EVERY_S

    def _take(self, wait_s: int) -> None:
        answer = self._aws.client("sqs").receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait_s,
            VisibilityTimeout=HIDDEN_S,
        )
        for message in answer.get("Messages", []):
            self._accept(message)

    def _accept(self, message: dict[str, Any]) -> None:
        try:
            body = json.loads(message["Body"])
            job, watched = body["job"], Watched(body["token"], body["part_key"])
        except (ValueError, KeyError, TypeError):
            # Left in the queue: after a few receipts SQS moves it to the dead-letter queue.
            logger.exception("a message that is not a job: %s", message["MessageId"])
            return
        self._ledger.set(
            self._partition,
            job,
            {"token": watched.token, "part_key": watched.part_key, "taken_s": now_s()},
        )
        self._watched[job] = watched
        try:
            self._submit_once(job, watched)
        except UserError as error:
            self._report_failure(job, watched, "UserError", str(error))
        except ClusterUnavailableError as error:
            # The job is noted in the ledger by now: looking after it submits it.
            logger.warning("job %s is submitted later: %s", job, error)
        self._aws.client("sqs").delete_message(
            QueueUrl=self._queue_url, ReceiptHandle=message["ReceiptHandle"]
        )

    def _submit_once(self, job: str, watched: Watched) -> None:
        if self._exit_record(watched) is not None or self._cluster.find(job) is not None:
            logger.info("job %s is there already", job)
            return
        self._cluster.submit(job, watched.part_key)
        logger.info("submitted job %s", job)

    def _look_after(self) -> None:
        for job, watched in sorted(self._watched.items()):
            found = self._cluster.find(job)
            if found is not None and found.state != "ended":
                self._heartbeat(job, watched)
            else:
                self._report(job, watched, found)
        self.stopping.wait(LOOK_EVERY_S if self._watched else 0)

    def _heartbeat(self, job: str, watched: Watched) -> None:
        if time.monotonic() < watched.heartbeat_due:
            return
        watched.heartbeat_due = time.monotonic() + HEARTBEAT_EVERY_S
        if not send_heartbeat(self._aws, watched.token):
            logger.info("nobody waits for job %s any more: cancelled", job)
            self._cluster.cancel(job)
            self._forget(job)

    def _report(self, job: str, watched: Watched, found: Job | None) -> None:
        record = self._exit_record(watched)
        if record is None and found is None:
            # Killed between noting the job and submitting it, the agent does the second part now.
            self._cluster.submit(job, watched.part_key)
            return
        if record is None:
            state = found.detail if found else "unknown"
            reason = f"The job ended as {state} and left no exit record."
            self._report_failure(job, watched, "JobLost", reason)
        elif record["outcome"] == "succeeded":
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

    def _exit_record(self, watched: Watched) -> dict[str, Any] | None:
        part = Part.from_json(self._store.get_json(watched.part_key))
        record = self._store.find(part.keys.exit_record(part.attempt, part.part))
        return dict(record) if record is not None else None
