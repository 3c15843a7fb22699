"""One batch of tasks: what it leaves behind when all goes well, and when it does not."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from control.stack import Stack
from placement.errors import UserError
from runtime.batch import (
    MAX_EVENTS,
    Batch,
    Call,
    DoesNotFitError,
    OutOfTimeError,
    Part,
    Spent,
    fetch,
    fetch_flat,
    mpi_batch,
    output_suffix,
    put_output,
    read_tasks,
    run_batch,
    safe_name,
)
from runtime.keys import StepKeys
from runtime.task import TaskCode
from tests.support import FakeClock

KEYS = StepKeys("w-0123456789ab", "s")
FOREVER = float("inf")


class Ran(NamedTuple):
    """Runs of the test's task: the names and texts of its inputs, one entry per run."""

    inputs: list[list[tuple[str, str]]]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Provide the task `upper`, which fails on the text that its parameter names."""
    seen = Ran([])
    module = ModuleType("tasks_of_the_test")

    def upper(inputs: list[Path], output: Path, fail_on: str = "") -> dict[str, int]:
        texts = [path.read_text() for path in inputs]
        seen.inputs.append([(path.name, text) for path, text in zip(inputs, texts, strict=True)])
        if fail_on and fail_on in texts:
            raise UserError(f"The text {fail_on} is wrong.")
        output.write_text("".join(texts).upper())
        return {"bytes": len("".join(texts))}

    def split(inputs: list[Path], output: Path) -> dict[str, int]:
        output.mkdir()
        for letter in reversed(inputs[0].read_text()):
            (output / f"{letter}.txt").write_text(letter)
        return {}

    def explode(_: list[Path], __: Path) -> None:
        raise MemoryError("no more")

    def leave(_: list[Path], __: Path) -> None:
        raise KeyboardInterrupt

    vars(module).update(upper=upper, split=split, explode=explode, leave=leave)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return seen


def part_of(task: str = "upper", output: str | None = None, **parameters: Any) -> Part:
    return Part(
        KEYS, 1, 0, "lambda", TaskCode(f"tasks_of_the_test:{task}", None, parameters), output
    )


def given_tasks(stack: Stack, texts: list[str], shared: list[str] | None = None) -> Batch:
    """Put one shard and one task line per text; return the batch of all of them."""
    lines = []
    for number, text in enumerate(texts):
        key = f"raw/w/shard {number}+%.fq.gz"
        stack.store.put_text(key, text, "text/plain")
        lines.append(json.dumps({"task": number, "inputs": [[key, len(text)]]}) + "\n")
    whole = []
    for number, text in enumerate(shared or []):
        stack.store.put_text(f"raw/w/whole{number}.txt", text, "text/plain")
        whole.append([f"raw/w/whole{number}.txt", len(text)])
    stack.store.put_json(KEYS.shared, whole)
    stack.store.put_text(KEYS.tasks, "".join(lines), "application/x-ndjson")
    return Batch(0, 0, sum(map(len, lines)), len(lines))


def call_of(name: str = "call", remaining_s: Callable[[], float] = lambda: FOREVER) -> Call:
    return Call(name, "worker", 1_700_000_000.0, 0.25, 1024, 512, remaining_s)


def result_of(stack: Stack) -> Any:
    return stack.store.find(KEYS.result(1, 0, 0))


def record_of(stack: Stack, name: str = "call") -> Any:
    return stack.store.get_json(KEYS.call(1, 0, 0, name))


@pytest.mark.usefixtures("ran")
def test_a_batch_leaves_outputs_result_and_call_record(stack: Stack, clock: FakeClock) -> None:
    batch = given_tasks(stack, ["ab", "cde"])
    assert run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False) == 2
    outputs = [f"{KEYS.root}/out/00000{task}.fq.gz" for task in range(2)]
    assert [stack.store.get_bytes(key) for key in outputs] == [b"AB", b"CDE"]
    assert result_of(stack) == [
        {"task": 0, "outputs": [[outputs[0], 2]], "counts": {"bytes": 2}},
        {"task": 1, "outputs": [[outputs[1], 3]], "counts": {"bytes": 3}},
    ]
    record = record_of(stack)
    assert record.pop("requests") == {
        "s3_get": 4,  # task lines, shared list, two shards
        "s3_put": 5,  # record, two outputs, result, record
    }
    assert record == {
        "attempt": 1,
        "part": 0,
        "batch": 0,
        "call": "call",
        "worker": "worker",
        "platform": "lambda",
        "memory_mb": 1024,
        "tmp_mb": 512,
        "started_s": 1_700_000_000.0,
        "startup_s": 0.25,
        "outcome": "succeeded",
        "error": None,
        "reason": None,
        "ended_s": clock.at_s,
        "transfer_s": 0.0,
        "compute_s": 0.0,
        "bytes_in": 5,
        "bytes_out": 5,
        "done": {
            "tasks": 2,
            "over_bytes": 5,
            "largest_bytes": 3,
            "first_bytes": 2,
            "first_s": 0.0,
            "whole_bytes": 0,
            "whole_files": 0,
            "output_shards": 2,
        },
        "events": record["events"],
    }
    assert [event[0] for event in record["events"]] == ["transfer", "compute"] * 2 + ["transfer"]


@pytest.mark.usefixtures("ran")
def test_the_requests_that_are_on_record_are_those_that_were_sent(stack: Stack) -> None:
    batch = given_tasks(stack, ["ab", "cde", "f"])
    sent: list[str] = []
    stack.aws.client("s3").meta.events.register(
        "before-send.s3", lambda event_name, **_: sent.append(event_name.rsplit(".", 1)[1])
    )
    run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)
    during = list(sent)
    assert record_of(stack)["requests"] == {
        "s3_get": during.count("GetObject"),
        "s3_put": during.count("PutObject"),
    }
    assert set(during) == {"GetObject", "PutObject"}


def test_shared_inputs_come_after_the_shard_in_every_task(stack: Stack, ran: Ran) -> None:
    batch = given_tasks(stack, ["a", "b"], shared=["x", "y"])
    run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)
    assert [[text for _, text in inputs] for inputs in ran.inputs] == [
        ["a", "x", "y"],
        ["b", "x", "y"],
    ]
    assert [name for name, _ in ran.inputs[0][1:]] == ["whole0.txt", "whole1.txt"]


@pytest.mark.usefixtures("ran")
def test_only_the_lines_of_the_batch_are_run(stack: Stack) -> None:
    whole = given_tasks(stack, ["a", "b", "c"])
    lines = stack.store.get_bytes(KEYS.tasks).splitlines(keepends=True)
    middle = Batch(0, len(lines[0]), len(lines[0]) + len(lines[1]), 1)
    assert [task["task"] for task in read_tasks(stack.store, KEYS, middle)] == [1]
    assert len(read_tasks(stack.store, KEYS, whole)) == 3
    assert run_batch(stack.aws, stack.store, part_of(), middle, call_of(), retried=False) == 1
    assert [entry["task"] for entry in result_of(stack)] == [1]


def test_a_retried_batch_skips_what_is_done(stack: Stack, ran: Ran) -> None:
    batch = given_tasks(stack, ["a", "b", "c"])
    done = [{"task": 1, "outputs": [["kept", 1]], "counts": {}}]
    stack.store.put_json(KEYS.result(1, 0, 0), done)
    assert run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=True) == 2
    assert [inputs[0][1] for inputs in ran.inputs] == ["a", "c"]
    assert sorted(entry["task"] for entry in result_of(stack)) == [0, 1, 2]
    assert done[0] in result_of(stack)


@pytest.mark.usefixtures("ran")
def test_a_retried_batch_of_which_nothing_is_done_runs_whole(stack: Stack) -> None:
    batch = given_tasks(stack, ["a", "b"])
    assert run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=True) == 2


@pytest.mark.usefixtures("ran")
def test_a_first_call_does_not_trust_an_old_result(stack: Stack) -> None:
    batch = given_tasks(stack, ["a"])
    stack.store.put_json(KEYS.result(1, 0, 0), [{"task": 0, "outputs": [], "counts": {}}])
    assert run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False) == 1
    assert result_of(stack)[0]["outputs"] != []


@pytest.mark.usefixtures("ran")
def test_running_out_of_time_leaves_what_was_done_for_the_next_call(stack: Stack) -> None:
    batch = given_tasks(stack, ["a", "b", "c"])
    left = iter([900.0, 900.0, 1.0])
    short = call_of("first", lambda: next(left))
    with pytest.raises(OutOfTimeError, match="3 tasks do not fit in one call"):
        run_batch(stack.aws, stack.store, part_of(), batch, short, retried=False)
    assert [entry["task"] for entry in result_of(stack)] == [0, 1]
    assert record_of(stack, "first")["error"] == "OutOfTimeError"
    assert run_batch(stack.aws, stack.store, part_of(), batch, call_of("next"), retried=True) == 1
    assert [entry["task"] for entry in result_of(stack)] == [0, 1, 2]
    assert record_of(stack, "next")["outcome"] == "succeeded"


@pytest.mark.usefixtures("ran")
def test_a_call_stops_before_a_task_as_slow_as_the_slowest_would_be_cut_off(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count(0.0, 100.0)  # every look at the clock takes 100 s
    monkeypatch.setattr("runtime.batch.time", _FakeMonotonic(ticks))
    batch = given_tasks(stack, ["a", "b"])
    enough_for_one = iter([900.0, 140.0])  # the slowest took 100 s, so 152 s are wanted
    call = call_of(remaining_s=lambda: next(enough_for_one))
    with pytest.raises(OutOfTimeError):
        run_batch(stack.aws, stack.store, part_of(), batch, call, retried=False)
    assert [entry["task"] for entry in result_of(stack)] == [0]


class _FakeMonotonic:
    def __init__(self, ticks: Iterator[float]) -> None:
        self.monotonic = lambda: next(ticks)


@pytest.mark.usefixtures("ran")
def test_progress_can_be_seen_from_outside_while_a_long_batch_runs(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.batch.time", _FakeMonotonic(count(0.0, 1.0)))
    batch = given_tasks(stack, ["a", "b", "c"])
    seen: list[int] = []
    inner = stack.store.put_json

    def put_json(key: str, value: Any) -> None:
        if key == KEYS.result(1, 0, 0):
            seen.append(len(value))
        inner(key, value)

    monkeypatch.setattr(stack.store, "put_json", put_json)
    run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)
    assert seen == [1, 2, 3, 3]


@pytest.mark.usefixtures("ran")
def test_a_wrong_input_leaves_a_call_record_with_its_sentence(stack: Stack) -> None:
    batch = given_tasks(stack, ["a", "bad", "c"])
    with pytest.raises(UserError):
        run_batch(stack.aws, stack.store, part_of(fail_on="bad"), batch, call_of(), retried=False)
    record = record_of(stack)
    assert (record["outcome"], record["error"]) == ("failed", "UserError")
    assert record["reason"] == "The text bad is wrong."
    done = result_of(stack) or []
    assert 1 not in {entry["task"] for entry in done}


@pytest.mark.usefixtures("ran")
def test_any_other_failure_is_recorded_under_its_name(stack: Stack) -> None:
    batch = given_tasks(stack, ["a"])
    with pytest.raises(MemoryError):
        run_batch(stack.aws, stack.store, part_of("explode"), batch, call_of(), retried=False)
    record = record_of(stack)
    assert (record["error"], record["reason"]) == ("MemoryError", "MemoryError: no more")
    assert "ended_s" in record


@pytest.mark.usefixtures("ran")
def test_a_call_that_is_interrupted_did_not_succeed(stack: Stack) -> None:
    batch = given_tasks(stack, ["a"])
    with pytest.raises(KeyboardInterrupt):
        run_batch(stack.aws, stack.store, part_of("leave"), batch, call_of(), retried=False)
    assert record_of(stack)["outcome"] == "failed"


@pytest.mark.usefixtures("ran")
def test_a_call_is_on_record_before_its_first_task(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = given_tasks(stack, ["a"])
    seen: list[Any] = []

    def look_and_die(*_: Any) -> None:
        seen.append(record_of(stack))
        raise ZeroDivisionError

    monkeypatch.setattr("runtime.batch.run_task", look_and_die)
    with pytest.raises(ZeroDivisionError):
        run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)
    assert seen[0]["outcome"] == "running"
    assert seen[0]["started_s"] == 1_700_000_000.0


@pytest.mark.usefixtures("ran")
def test_a_directory_of_shards_is_put_in_the_order_of_their_names(stack: Stack) -> None:
    batch = given_tasks(stack, ["cab"])
    run_batch(stack.aws, stack.store, part_of("split"), batch, call_of(), retried=False)
    folder = f"{KEYS.root}/out/000000"
    assert result_of(stack)[0]["outputs"] == [[f"{folder}/{name}.txt", 1] for name in "abc"]


def test_an_input_too_large_for_the_disk_belongs_elsewhere(
    stack: Stack, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = given_tasks(stack, ["0123456789"])
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("runtime.batch.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DoesNotFitError, match="take 10 bytes but the disk has 10 free"):
        run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)
    assert record_of(stack)["error"] == "DoesNotFitError"
    assert ran.inputs == []


@pytest.mark.usefixtures("ran")
def test_a_missing_input_is_named(stack: Stack) -> None:
    batch = given_tasks(stack, ["a"])
    stack.aws.client("s3").delete_object(Bucket=stack.store.bucket, Key="raw/w/shard 0+%.fq.gz")
    with pytest.raises(UserError, match=r"raw/w/shard 0\+%\.fq\.gz"):
        run_batch(stack.aws, stack.store, part_of(), batch, call_of(), retried=False)


@pytest.mark.usefixtures("ran")
def test_nothing_of_a_task_stays_on_the_disk(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batch = given_tasks(stack, ["a", "bad"])
    with pytest.raises(UserError):
        run_batch(stack.aws, stack.store, part_of(fail_on="bad"), batch, call_of(), retried=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stated", "inputs", "shared", "suffix"),
    [
        (".npz", ["a.fq.gz"], [], ".npz"),
        (None, ["00000.paired.fastq.gz"], ["x.txt"], ".paired.fastq.gz"),
        (None, [], ["x.tsv"], ".tsv"),
        (None, ["plain"], [], ""),
        (None, [], [], ""),
    ],
)
def test_an_output_is_called_by_the_step_else_by_its_first_input(
    stated: str | None, inputs: list[str], shared: list[str], suffix: str
) -> None:
    part = part_of(output=stated)
    assert (
        output_suffix(part, [Path(name) for name in inputs], [Path(name) for name in shared])
        == suffix
    )


def test_an_output_file_keeps_its_suffix_in_the_bucket(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "000007.tsv.gz").write_text("x")
    (stored,) = put_output(stack.store, tmp_path / "000007.tsv.gz", "out/000007")
    assert (stored.key, stored.size_bytes) == ("out/000007.tsv.gz", 1)


@pytest.mark.parametrize(
    "name", ["a b.txt", "a;rm -rf $HOME.txt", "`id`.fq", "$(x)|y&z.gz", "'\".txt"]
)
def test_a_local_name_means_nothing_to_a_shell(stack: Stack, tmp_path: Path, name: str) -> None:
    stack.store.put_text(f"raw/w/{name}", "x", "text/plain")
    (path,) = fetch(stack.store, [[f"raw/w/{name}", 1]], tmp_path / "in", Spent())
    assert not set(path.name) & set(" ;$`|&<>()'\"*?[]{}~#!\\\n")
    assert path.suffix == Path(name).suffix
    assert path.read_text() == "x"


@pytest.mark.parametrize(
    "name", ["00000.paired.fastq.gz", "naïve_日本-1+2.truth.tsv", "a=b,c@d.txt"]
)
def test_a_plain_local_name_stays_as_it_is(name: str) -> None:
    assert safe_name(name) == name


def test_files_of_one_name_do_not_replace_each_other(stack: Stack, tmp_path: Path) -> None:
    for folder in "ab":
        stack.store.put_text(f"{folder}/x.txt", folder, "text/plain")
    entries = [["a/x.txt", 1], ["b/x.txt", 1]]
    apart = fetch(stack.store, entries, tmp_path / "apart", Spent())
    flat = fetch_flat(stack.store, entries, tmp_path / "flat", Spent())
    assert [path.read_text() for path in apart] == [path.read_text() for path in flat] == ["a", "b"]
    assert [path.name for path in flat] == ["000000-x.txt", "000001-x.txt"]
    assert {path.name for path in apart} == {"x.txt"}


def test_an_input_comes_in_the_version_that_is_named(stack: Stack, tmp_path: Path) -> None:
    stack.store.put_text("x.txt", "a", "text/plain")
    version = stack.store.head("x.txt").version
    stack.store.put_text("x.txt", "b", "text/plain")
    entries = [["x.txt", 1, version], ["x.txt", 1, None], ["x.txt", 1]]
    found = fetch(stack.store, entries, tmp_path / "in", Spent())
    assert [path.read_text() for path in found] == ["a", "b", "b"]


def test_time_is_split_into_transfer_and_compute(clock: FakeClock) -> None:
    spent = Spent()
    begun = clock.at_s
    for kind, seconds in (("transfer", 1.0), ("compute", 4.0), ("compute", 2.0), ("transfer", 0.5)):
        with spent.timed(kind):  # type: ignore[arg-type]
            clock.forward(seconds)
    assert (spent.transfer_s, spent.compute_s) == (1.5, 6.0)
    assert spent.events == [
        ["transfer", begun, begun + 1],
        ["compute", begun + 1, begun + 7],
        ["transfer", begun + 7, begun + 7.5],
    ]


def test_time_is_counted_when_the_work_fails(clock: FakeClock) -> None:
    spent = Spent()

    def fail() -> None:
        with spent.timed("compute"):
            clock.forward(3.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert spent.compute_s == 3.0


def test_the_events_of_a_long_call_stop_growing_but_not_its_times(clock: FakeClock) -> None:
    spent = Spent()
    for _ in range(MAX_EVENTS):
        with spent.timed("transfer"):
            clock.forward(1.0)
        with spent.timed("compute"):
            clock.forward(3.0)
    assert len(spent.events) == MAX_EVENTS
    assert (spent.transfer_s, spent.compute_s) == (MAX_EVENTS, 3.0 * MAX_EVENTS)
    lengths = {
        kind: {end - begin for k, begin, end in spent.events if k == kind}
        for kind in ("transfer", "compute")
    }
    assert lengths == {"transfer": {1.0}, "compute": {3.0}}


def test_an_mpi_program_is_the_one_batch_of_its_step(stack: Stack) -> None:
    entry = {"task": 0, "outputs": [["k", 1]], "counts": {"n": 2}}
    mpi_batch(stack.aws, stack.store, part_of(), call_of("job"), lambda _: entry)
    assert result_of(stack) == [entry]
    assert record_of(stack, "job")["outcome"] == "succeeded"


def test_a_failed_mpi_program_leaves_no_result(stack: Stack) -> None:
    def program(_: Spent) -> dict[str, Any]:
        raise RuntimeError("rank 3 died")

    with pytest.raises(RuntimeError):
        mpi_batch(stack.aws, stack.store, part_of(), call_of("job"), program)
    assert result_of(stack) is None
    assert record_of(stack, "job")["reason"] == "RuntimeError: rank 3 died"


def test_requests_of_a_call_are_not_counted_again_by_its_job(stack: Stack) -> None:
    before = stack.aws.requests.snapshot()
    entry: dict[str, Any] = {"task": 0, "outputs": [], "counts": {}}
    mpi_batch(stack.aws, stack.store, part_of(), call_of("job"), lambda _: entry)
    assert record_of(stack, "job")["requests"] == {"s3_put": 3}
    own_reads = stack.aws.requests.since(before)
    assert own_reads == {"s3_get": 1}  # of this test


def test_batches_and_parts_come_back_from_json() -> None:
    batch = Batch(3, 10, 20, 2)
    assert Batch.from_json(batch.to_json()) == batch
    description = {
        "run": KEYS.run,
        "step": KEYS.step,
        "attempt": 2,
        "part": 1,
        "platform": "ray",
        "code": {"run": "m:f", "command": None, "parameters": {}},
    }
    assert Part.from_json(description) == Part(KEYS, 2, 1, "ray", TaskCode("m:f", None, {}), None)


def test_a_folder_among_the_shards_is_refused_and_nothing_is_put(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "out" / "inner").mkdir(parents=True)
    (tmp_path / "out" / "a.txt").write_text("a")
    (tmp_path / "out" / "inner" / "b.txt").write_text("b")
    with pytest.raises(UserError, match=r"wrote 'inner' into its output folder, which is no file"):
        put_output(stack.store, tmp_path / "out", "out/000000")
    assert list(stack.store.listing("out/")) == []
