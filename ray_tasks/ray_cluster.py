"""Ray as the agent sees it: its Jobs REST API, spoken to with a token.

Source: docs.ray.io, "Ray Jobs REST API".
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import httpx

from agents.cluster import ClusterUnavailableError, Job, JobRefusedError, Nodes
from runtime.clock import now_s
from runtime.cluster_log import Kind

ENDED = frozenset({"STOPPED", "SUCCEEDED", "FAILED"})
MESSAGE_SHOWN = 500  # characters of what Ray says
# What a worker must be told; credentials come from the node, never through the job's description.
PASSED_ON = ("TRIVIUM_BUCKET", "TRIVIUM_TABLE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")


# Of a batch that took more memory than its node has; Ray's default is to try without end.
OUT_OF_MEMORY_RETRIES = 2


class RayCluster:
    """A Ray cluster whose head listens on `address`, for example http://127.0.0.1:8265."""

    platform = "ray"

    def __init__(
        self,
        address: str,
        token: str,
        instance_type: str,
        max_nodes: int,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._instance_type, self._max_nodes = instance_type, max_nodes
        self._http = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections to the head."""
        self._http.close()

    def nodes(self) -> Nodes:
        """Return the nodes that are up, and the CPUs of the smallest of them as slots."""
        answer = self._ask("GET", "/api/v0/nodes", params={"detail": "false"})
        found = (self._checked(answer).json().get("data") or {}).get("result") or {}
        rows = found.get("result") or []
        cpus = [
            int(row["resources_total"].get("CPU", 0)) for row in rows if row["state"] == "ALIVE"
        ]
        slots = [count for count in cpus if count > 0]
        return Nodes(self._instance_type, len(slots), min(slots, default=1), self._max_nodes)

    def find(self, job: str) -> Job | None:
        """Return the job of that submission id; a state that is not known is taken as running."""
        answer = self._ask("GET", f"/api/jobs/{job}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        told = self._checked(answer).json()
        status = str(told["status"])
        if status in ENDED:
            return Job("ended", f"{status}: {str(told.get('message'))[:MESSAGE_SHOWN]}")
        return Job("queued" if status == "PENDING" else "running", status)

    def submit(
        self,
        job: str,
        part_key: str,
        nodes: int,  # noqa: ARG002
        slots: int,  # noqa: ARG002
        kind: Kind,  # noqa: ARG002
    ) -> None:
        """Submit the job; a second submission of one id is refused by Ray and is no error.

        The job asks Ray for what it needs, task by task.

        Raises:
            JobRefusedError: Ray finds the request wrong.

        """
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        passed["TRIVIUM_INSTANCE_TYPE"] = self._instance_type
        passed["TRIVIUM_SUBMITTED_S"] = str(now_s())
        passed["RAY_task_oom_retries"] = str(OUT_OF_MEMORY_RETRIES)
        answer = self._ask(
            "POST",
            "/api/jobs/",
            json={
                "submission_id": job,
                "entrypoint": shlex.join([sys.executable, "-m", "ray_tasks.run_part", part_key]),
                "runtime_env": {"env_vars": passed},
            },
        )
        if answer.is_error and self.find(job) is None:
            if answer.status_code == httpx.codes.BAD_REQUEST:
                raise JobRefusedError(f"Ray refuses job {job}: {answer.text[-MESSAGE_SHOWN:]}")
            self._checked(answer)

    def cancel(self, job: str) -> None:
        """Stop the job, if it is there."""
        answer = self._ask("POST", f"/api/jobs/{job}/stop")
        if answer.status_code != httpx.codes.NOT_FOUND:
            self._checked(answer)

    def _ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise ClusterUnavailableError(f"Ray at {self._http.base_url}: {error}") from error

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_error:
            raise ClusterUnavailableError(
                f"Ray says {answer.status_code}: {answer.text[-MESSAGE_SHOWN:]}"
            )
        return answer
