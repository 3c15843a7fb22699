"""What an agent notes of its cluster for the account: when jobs held nodes, how many were up.

Every note is a fact under a name that follows from it, never a sum, so it may be written again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from placement.node_time import Held, Up, microseconds
from placement.situation import Equipment
from runtime.clock import iso
from runtime.keys import job_name
from runtime.ledger import Ledger

type Kind = Literal["map", "mpi"]
type Span = tuple[float, float]  # from when to when, in seconds since 1970

# A part that is not done by then is given up; a heartbeat that stops is noticed much sooner.
JOB_TIMEOUT_S = 24 * 3600
# A cancelled job is looked for at most this long after it was queued.
_LONGEST_JOB_S = JOB_TIMEOUT_S + 3600
# An agent announces its cluster every ten seconds; one that has been silent for this long is gone.
SILENT_AFTER_S = 60.0
SPAN_S = 3600.0  # a span of nodes that are up goes on for no longer, so that it can be found
KEPT_S = 90 * 24 * 3600


@dataclass(frozen=True)
class JobFacts:
    """What the account must know of a job before it runs: whose it is, and what it asked for."""

    run: str
    step: str
    attempt: int
    part: int
    queued_s: float
    nodes: int
    slots: int
    kind: Kind

    @property
    def name(self) -> str:
        """Return the job's name."""
        return job_name(self.run, self.step, self.attempt, self.part)

    @staticmethod
    def of_part(description: Mapping[str, Any]) -> JobFacts:
        """Return the facts of the job that a part's description asks for.

        A map uses no more slots than it has batches.
        """
        size = description["size"]
        slots = int(size["slots"])
        if description["kind"] == "map":
            slots = min(slots, int(size["batches"]))
        return JobFacts(
            run=description["run"],
            step=description["step"],
            attempt=description["attempt"],
            part=description["part"],
            queued_s=float(description["queued_s"]),
            nodes=int(size["nodes"]),
            slots=slots,
            kind=description["kind"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the job's note."""
        return {
            "run": self.run,
            "step": self.step,
            "attempt": self.attempt,
            "part": self.part,
            "queued_s": self.queued_s,
            "nodes": self.nodes,
            "slots": self.slots,
            "kind": self.kind,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> JobFacts:
        """Read what `to_json` wrote."""
        return JobFacts(
            value["run"],
            value["step"],
            int(value["attempt"]),
            int(value["part"]),
            float(value["queued_s"]),
            int(value["nodes"]),
            int(value["slots"]),
            value["kind"],
        )


@dataclass(frozen=True)
class NotedJob:
    """A job as its agent has noted it; a job that never ran has no start.

    `spans` are those nodes of a map that ended before the job did.
    """

    facts: JobFacts
    started_s: float | None
    ended_s: float | None
    spans: tuple[Span, ...] = ()

    @staticmethod
    def from_item(item: Mapping[str, Any]) -> NotedJob:
        """Return the job that an item of the ledger describes."""
        started, ended = item.get("started_s"), item.get("ended_s")
        return NotedJob(
            JobFacts.from_json(item),
            None if started is None else float(started),
            None if ended is None else float(ended),
            tuple((float(began), float(end)) for began, end in item.get("spans", ())),
        )

    def held(self, now_s: float) -> list[Held]:
        """Return when it held how many nodes, until now if it still does."""
        if self.started_s is None:
            return []
        until_s = now_s if self.ended_s is None else self.ended_s
        facts, rest = self.facts, self.facts.nodes - len(self.spans)
        slots_per_node = -(-facts.slots // facts.nodes)
        found = [_held(facts.name, span, 1, slots_per_node) for span in self.spans]
        if rest:
            slots = max(1, facts.slots - len(found) * slots_per_node)
            found.append(_held(facts.name, (self.started_s, until_s), rest, slots))
        return found


def _held(job: str, span: Span, nodes: int, slots: int) -> Held:
    begin_us, end_us = (microseconds(at_s) for at_s in span)
    return Held(job, begin_us, max(begin_us, end_us), nodes, slots)


@dataclass(frozen=True)
class NotedNodes:
    """Nodes that were there from when to when; None: the cluster does not tell."""

    from_s: float
    until_s: float
    instance_type: str
    warm_nodes: int
    booting_nodes: int | None
    stopping_nodes: int | None
    equipment: Equipment
    head_off: bool = False  # there was no cluster: its head was stopped

    @staticmethod
    def from_item(item: Mapping[str, Any]) -> NotedNodes:
        """Return the nodes that an item of the ledger describes."""
        return NotedNodes(
            float(item["from_s"]),
            float(item["until_s"]),
            item["instance_type"],
            int(item["warm_nodes"]),
            item.get("booting_nodes"),
            item.get("stopping_nodes"),
            Equipment.from_json(item),
            bool(item.get("head_off")),
        )


class ClusterLog:
    """The notes of one platform's agent."""

    def __init__(self, ledger: Ledger, platform: str) -> None:
        self._ledger = ledger
        self._held, self._up = f"held#{platform}", f"up#{platform}"

    def note_job(self, facts: JobFacts, **times_s: float) -> None:
        """Note a job, and `submitted_s`, `started_s` or `ended_s`; what is noted already stands."""
        fields = facts.to_json() | times_s | {"expires_at": int(facts.queued_s + KEPT_S)}
        self._ledger.note(self._held, _job_sort(facts.queued_s, facts.name), fields)

    def correct_job(
        self, facts: JobFacts, started_s: float, ended_s: float, spans: Sequence[Span] = ()
    ) -> None:
        """Put the job's own word of when it began and ended in place of what was seen of it."""
        fields: dict[str, Any] = facts.to_json() | {"started_s": started_s, "ended_s": ended_s}
        fields["spans"] = [list(span) for span in spans]
        fields["expires_at"] = int(facts.queued_s + KEPT_S)
        self._ledger.set(self._held, _job_sort(facts.queued_s, facts.name), fields)

    def note_nodes(self, from_s: float, until_s: float, nodes: Mapping[str, Any]) -> None:
        """Note that these nodes were there from when until now; later notes of a span extend it."""
        times = {"from_s": from_s, "until_s": until_s, "expires_at": int(from_s + KEPT_S)}
        self._ledger.put(self._up, iso(from_s), {**nodes, **times})

    def note_head_off(self, since_s: float, until_s: float, nodes: Mapping[str, Any]) -> None:
        """Note that the cluster's head was stopped, the last hour of it if it was for longer."""
        none_up = {"warm_nodes": 0, "booting_nodes": 0, "stopping_nodes": 0, "head_off": True}
        self.note_nodes(max(since_s, until_s - SPAN_S), until_s, {**nodes, **none_up})

    def job(self, queued_s: float, name: str) -> NotedJob | None:
        """Return one job, or None where its agent has noted nothing of it."""
        item = self._ledger.get(self._held, _job_sort(queued_s, name))
        return None if item is None else NotedJob.from_item(item)

    def jobs(self, from_s: float, until_s: float) -> list[NotedJob]:
        """Return all jobs, of any run, that may have run between two moments."""
        first = iso(from_s - _LONGEST_JOB_S)
        items = self._ledger.between(self._held, first, f"{iso(until_s)}~")
        return [NotedJob.from_item(item) for item in items]

    def nodes(self, from_s: float, until_s: float) -> list[NotedNodes]:
        """Return the spans of nodes that may have been there between two moments."""
        first = iso(from_s - SPAN_S - SILENT_AFTER_S)
        return [
            NotedNodes.from_item(item)
            for item in self._ledger.between(self._up, first, f"{iso(until_s)}~")
        ]


def bridged(spans: list[NotedNodes]) -> list[Up]:
    """Return spans without the short gaps between an agent's words.

    What it saw last is taken to have lasted until it speaks again, for as long as its silence does
    not mean that it is gone. After its head was started, no node is up until it speaks.
    """
    found = []
    for index, span in enumerate(spans):
        until_s = span.until_s + SILENT_AFTER_S
        if index + 1 < len(spans):
            following_s = spans[index + 1].from_s
            until_s = following_s if span.head_off else min(until_s, following_s)
        found.append(
            Up(
                microseconds(span.from_s),
                max(microseconds(span.from_s), microseconds(until_s)),
                span.warm_nodes,
                span.booting_nodes or 0,
                span.stopping_nodes or 0,
            )
        )
    return found


def _job_sort(queued_s: float, name: str) -> str:
    return f"{iso(queued_s)}#{name}"
