"""Runs one batch of a map step's tasks, the same on every platform.

A batch brings each task's inputs from the bucket, runs the task and puts its output back, one
task after another. It leaves two objects: its *result*, which says which tasks are done and where
their outputs lie, and a *call* record, which says what the call took and moved. The call record is
written before the first task and again at the end, so that a call that dies is on record as well.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from placement.errors import UserError
from runtime.clock import now_s
from runtime.keys import StepKeys
from runtime.requests import Aws
from runtime.store import Store, StoredObject
from runtime.task import TaskCode, run_task

FLUSH_EVERY_S = 2.0  # how stale the progress of a batch may look from outside
MAX_EVENTS = 200  # of one call's timeline: a picture cannot show more
DISK_HEADROOM = 1.1  # an output is rarely larger than its input; the rest is the file system's


class DoesNotFitError(Exception):
    """A task's input is too large for the place where it was to run; another may hold it."""


class OutOfTimeError(Exception):
    """The time left to this call does not suffice for the next task; call again for the rest."""


@dataclass(frozen=True)
class Batch:
    """A run of lines of a step's task list: which ones, and where their bytes lie."""

    index: int
    start_byte: int
    end_byte: int
    tasks: int

    def to_json(self) -> dict[str, int]:
        """Return the batch as an item of the batch list."""
        return {
            "batch": self.index,
            "start": self.start_byte,
            "end": self.end_byte,
            "tasks": self.tasks,
        }

    @staticmethod
    def from_json(item: Mapping[str, int]) -> Batch:
        """Return the batch that an item of the batch list describes."""
        return Batch(int(item["batch"]), int(item["start"]), int(item["end"]), int(item["tasks"]))


@dataclass(frozen=True)
class Part:
    """One part of one attempt of a step, as its description in the bucket says."""

    keys: StepKeys
    attempt: int
    part: int
    platform: str
    code: TaskCode
    output_suffix: str | None

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Part:
        """Return the part that a description describes."""
        return Part(
            keys=StepKeys(value["run"], value["step"]),
            attempt=value["attempt"],
            part=value["part"],
            platform=value["platform"],
            code=TaskCode.from_json(value["code"]),
            output_suffix=value.get("output"),
        )


@dataclass
class Done:
    """What a call has worked on so far: what its tasks mapped over, and its first task alone.

    In a fresh process the first task also pays for what it imports and compiles.
    """

    tasks: int = 0
    over_bytes: int = 0
    largest_bytes: int = 0
    first_bytes: int = 0
    first_s: float = 0.0
    whole_bytes: int = 0
    whole_files: int = 0
    output_shards: int = 0

    def add_task(self, over_bytes: int, compute_s: float, output_shards: int) -> None:
        """Count one task."""
        if self.tasks == 0:
            self.first_bytes, self.first_s = over_bytes, round(compute_s, 6)
        self.tasks += 1
        self.over_bytes += over_bytes
        self.largest_bytes = max(self.largest_bytes, over_bytes)
        self.output_shards += output_shards

    def add_whole(self, entries: Sequence[Any]) -> None:
        """Count the inputs that every task of the call gets whole."""
        self.whole_bytes += sum(int(size) for _, size, *_ in entries)
        self.whole_files += len(entries)


@dataclass
class Spent:
    """What a call has taken and moved so far."""

    transfer_s: float = 0.0
    compute_s: float = 0.0
    bytes_in: int = 0
    bytes_out: int = 0
    done: Done = field(default_factory=Done)
    events: list[list[Any]] = field(default_factory=list)
    _full: bool = False

    @contextmanager
    def timed(self, kind: Literal["transfer", "compute"]) -> Iterator[None]:
        """Add the time spent inside to its kind, and to the call's timeline."""
        begun_s = now_s()
        try:
            yield
        finally:
            self._add(kind, begun_s, now_s())

    def _add(self, kind: str, begun_s: float, ended_s: float) -> None:
        again = bool(self.events) and self.events[-1][0] == kind
        # Once one is left out, no other may grow over the time that it took.
        self._full = self._full or (len(self.events) == MAX_EVENTS and not again)
        if again and not self._full:
            self.events[-1][2] = ended_s
        elif not self._full:
            self.events.append([kind, begun_s, ended_s])
        if kind == "compute":
            self.compute_s += ended_s - begun_s
        else:
            self.transfer_s += ended_s - begun_s


@dataclass
class Call:
    """One call's surroundings: where it runs, since when, and how much time it has left."""

    call_id: str
    worker: str
    started_s: float
    startup_s: float
    memory_mb: int | None = None
    tmp_mb: int | None = None
    remaining_s: Callable[[], float] = lambda: float("inf")


def run_batch(
    aws: Aws, store: Store, part: Part, batch: Batch, call: Call, *, retried: bool
) -> int:
    """Run a batch's tasks that are not done yet; return how many were run.

    Args:
        aws: the clients, whose requests are counted into the call record.
        store: the bucket.
        part: what to run.
        batch: which tasks.
        call: where it runs.
        retried: whether an earlier call may have done some of the tasks.

    Raises:
        UserError: a task's input is wrong; nothing of that task is recorded as done.
        DoesNotFitError: a task's input is too large for this place.
        OutOfTimeError: some tasks are left; what is done is recorded.

    """
    with _recorded(aws, store, part, batch.index, call) as spent:
        return _run_tasks(store, part, batch, call, spent, retried=retried)


def mpi_batch(
    aws: Aws, store: Store, part: Part, call: Call, program: Callable[[Spent], dict[str, Any]]
) -> None:
    """Run an MPI program as the one batch of its step, and leave its result and its call record."""
    with _recorded(aws, store, part, 0, call) as spent:
        store.put_json(part.keys.result(part.attempt, part.part, 0), [program(spent)])


@contextmanager
def _recorded(aws: Aws, store: Store, part: Part, batch: int, call: Call) -> Iterator[Spent]:
    before = aws.requests.snapshot()
    spent = Spent()
    record = _call_record(part, batch, call)
    record_key = part.keys.call(part.attempt, part.part, batch, call.call_id)
    store.put_json(record_key, record)
    outcome: dict[str, Any] = {"outcome": "succeeded", "error": None, "reason": None}
    try:
        yield spent
    except BaseException as error:
        name = "UserError" if isinstance(error, UserError) else type(error).__name__
        known = isinstance(error, UserError | DoesNotFitError | OutOfTimeError)
        reason = str(error) if known else f"{name}: {error}"
        outcome = {"outcome": "failed", "error": name, "reason": reason}
        raise
    finally:
        requests = aws.requests.since(before)
        requests["s3_put"] = requests.get("s3_put", 0) + 1  # the record itself
        figures = {
            "ended_s": now_s(),
            "transfer_s": round(spent.transfer_s, 6),
            "compute_s": round(spent.compute_s, 6),
            "bytes_in": spent.bytes_in,
            "bytes_out": spent.bytes_out,
            "done": asdict(spent.done),
            "requests": requests,
            "events": spent.events,
        }
        store.put_json(record_key, record | outcome | figures)
        aws.requests.forget_since(before)


def _call_record(part: Part, batch: int, call: Call) -> dict[str, Any]:
    return {
        "attempt": part.attempt,
        "part": part.part,
        "batch": batch,
        "call": call.call_id,
        "worker": call.worker,
        "platform": part.platform,
        "memory_mb": call.memory_mb,
        "tmp_mb": call.tmp_mb,
        "started_s": call.started_s,
        "startup_s": round(call.startup_s, 6),
        "outcome": "running",
    }


def _run_tasks(
    store: Store, part: Part, batch: Batch, call: Call, spent: Spent, *, retried: bool
) -> int:
    result_key = part.keys.result(part.attempt, part.part, batch.index)
    finished: list[dict[str, Any]] = (store.find(result_key) or []) if retried else []
    known = {entry["task"] for entry in finished}
    tasks = [task for task in read_tasks(store, part.keys, batch) if task["task"] not in known]
    flushed_s = time.monotonic()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory(prefix="trivium-") as scratch:
        shared = _fetch_shared(store, part.keys, Path(scratch), spent)
        for task in tasks:
            if call.remaining_s() < 1.5 * slowest_s + 2.0:
                store.put_json(result_key, finished)
                raise OutOfTimeError(f"{len(tasks)} tasks do not fit in one call.")
            begun_s = time.monotonic()
            finished.append(_run_one(store, part, task, shared, Path(scratch), spent))
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            if time.monotonic() - flushed_s > FLUSH_EVERY_S:
                store.put_json(result_key, finished)
                flushed_s = time.monotonic()
    store.put_json(result_key, finished)
    return len(tasks)


def read_tasks(store: Store, keys: StepKeys, batch: Batch) -> list[dict[str, Any]]:
    """Return the tasks of a batch: each its number and the shards it maps over."""
    lines = store.get_bytes(keys.tasks, (batch.start_byte, batch.end_byte))
    return [json.loads(line) for line in lines.splitlines()]


def _fetch_shared(store: Store, keys: StepKeys, scratch: Path, spent: Spent) -> list[Path]:
    entries = store.get_json(keys.shared)
    spent.done.add_whole(entries)
    return fetch(store, entries, scratch / "shared", spent)


def _run_one(
    store: Store,
    part: Part,
    task: Mapping[str, Any],
    shared: Sequence[Path],
    scratch: Path,
    spent: Spent,
) -> dict[str, Any]:
    number = int(task["task"])
    folder = scratch / f"{number:06d}"
    inputs = fetch(store, task["inputs"], folder / "in", spent)
    output = folder / "out" / f"{number:06d}{output_suffix(part, inputs, shared)}"
    output.parent.mkdir()
    computed_s = spent.compute_s
    with spent.timed("compute"):
        counts = run_task(part.code, [*inputs, *shared], output)
    with spent.timed("transfer"):
        outputs = put_output(store, output, part.keys.task_output(number))
    spent.bytes_out += sum(stored.size_bytes for stored in outputs)
    over_bytes = sum(int(size) for _, size, *_ in task["inputs"])
    spent.done.add_task(over_bytes, spent.compute_s - computed_s, len(outputs))
    shutil.rmtree(folder)
    return {
        "task": number,
        "outputs": [[stored.key, stored.size_bytes] for stored in outputs],
        "counts": counts,
    }


def fetch(store: Store, entries: Sequence[Any], folder: Path, spent: Spent) -> list[Path]:
    """Bring objects, given as [key, bytes], each to a folder of its own under its own name.

    Raises:
        DoesNotFitError: they do not fit on the disk.
        UserError: one is missing.

    """
    return _fetch(store, entries, folder, spent, lambda index, name: f"{index:06d}/{name}")


def fetch_flat(store: Store, entries: Sequence[Any], folder: Path, spent: Spent) -> list[Path]:
    """Bring objects as `fetch` does, but all into one folder, numbered in their names."""
    return _fetch(store, entries, folder, spent, lambda index, name: f"{index:06d}-{name}")


def _fetch(
    store: Store,
    entries: Sequence[Any],
    folder: Path,
    spent: Spent,
    local_name: Callable[[int, str], str],
) -> list[Path]:
    folder.mkdir(parents=True)
    needed = sum(int(size) for _, size, *_ in entries)
    free = shutil.disk_usage(folder).free
    if needed * DISK_HEADROOM > free:
        raise DoesNotFitError(
            f"The inputs of this task take {needed} bytes but the disk has {free} free; "
            "cut the input into smaller shards."
        )
    wanted: list[tuple[StoredObject, Path]] = []
    for index, entry in enumerate(entries):
        stored = StoredObject(*entry)
        path = folder / local_name(index, safe_name(stored.name))
        path.parent.mkdir(exist_ok=True)
        wanted.append((stored, path))
    with spent.timed("transfer"):
        store.download_all(wanted)
    spent.bytes_in += needed
    return [path for _, path in wanted]


def safe_name(name: str) -> str:
    """Return an uploaded file's name without what a shell would take for more than a name.

    A command-line task may hand its inputs to `sh -c`.
    """
    return re.sub(r"[^\w.+=@,-]", "_", name)


def put_output(store: Store, output: Path, key: str) -> list[StoredObject]:
    """Put a task's output, a file or a directory of shards, under its key.

    Raises:
        UserError: something in the directory is no file; nothing has been put then.

    """
    if output.is_dir():
        shards = sorted(output.iterdir())
        for path in shards:
            if not path.is_file():
                raise UserError(
                    f"The task wrote {path.name!r} into its output folder, which is no file; a "
                    "task's shards are files that lie in that folder itself."
                )
        return store.upload_all([(path, f"{key}/{path.name}") for path in shards])
    return [store.upload(output, key + output.name[len(key.rsplit("/", 1)[-1]) :])]


def output_suffix(part: Part, inputs: Sequence[Path], shared: Sequence[Path]) -> str:
    """Return the suffix of a task's output: the step's own, else that of its first input."""
    if part.output_suffix is not None:
        return part.output_suffix
    names = [*inputs, *shared]
    _, dot, suffix = names[0].name.partition(".") if names else ("", "", "")
    return dot + suffix
