"""Workflow files as task graphs: one task per shard, files with names of their own."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.books import Figure, PlatformBook, default_books
from placement.engine.from_workflow import graph_of_workflow
from placement.engine.read import read_graph
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.errors import UserError
from placement.load import loads
from placement.workflow_file import load_workflow

ROOT = Path(__file__).parents[2]
BOOK = default_books()[1]

TEXT = """\
name: words
inputs:
  texts: {files: ["*.txt"]}
  stop: {files: [stop.list], optional: true}
steps:
  count:
    kind: map
    command: [sh, -c, "wc {inputs} > {output}"]
    over: upload.texts
    with: [upload.stop]
    platforms: [ray, lambda]
    profile: {cpu_s_per_task: 1, cpu_s_per_mb: 2, memory_mb: 300, memory_mb_per_mb: 10,
              output_mb_per_mb: 0.5, shards_per_mb: 0.4, fresh_start_s: 4, warm_start_s: 0.25}
  join:
    kind: map
    command: [sh, -c, "cat {inputs} > {output}"]
    over: count
    with: [upload.stop]
    profile: {cpu_s_per_task: 0, cpu_s_per_mb: 1, memory_mb: 100, memory_mb_per_mb: 0,
              output_mb_per_mb: 1, fresh_start_s: 0}
  solve:
    kind: mpi
    run: some.module
    with: [join, count]
    profile: {cpu_s_per_task: 96, cpu_s_per_mb: 0, memory_mb: 2000, memory_mb_per_mb: 0,
              output_mb_per_mb: 0, fresh_start_s: 0, serial_fraction: 0.5}
"""
UPLOADS = {"texts": (1_000_000, 4_000_000), "stop": (500_000,)}


def graph(
    text: str = TEXT, uploads: Mapping[str, tuple[int, ...]] = UPLOADS, book: PlatformBook = BOOK
) -> TaskGraph:
    return graph_of_workflow(load_workflow(text), uploads, book)


def with_figure(name: str, value: str) -> PlatformBook:
    figure = Figure(Decimal(value), "", "a test", "", assumed=True)
    return replace(BOOK, figures={**BOOK.figures, name: figure})


def test_a_workflow_becomes_one_task_per_shard() -> None:
    made = graph()
    assert made.name == "words"
    assert made.groups == (
        Group("count", "map", ("lambda", "ray")),
        Group("join", "map", ("lambda", "ray", "hpc")),
        Group("solve", "mpi", ("hpc",)),
    )
    # 6 MB into count (each task reads stop too) are 3 MB in three shards, of which the first task
    # makes two; then 3 MB and stop three times into join.
    assert dict(zip(made.file_names, made.file_bytes, strict=True)) == {
        "upload.texts/0": 1_000_000,
        "upload.texts/1": 4_000_000,
        "upload.stop/0": 500_000,
        **{f"count/{i}": 1_000_000 for i in range(3)},
        **{f"join/{i}": 1_500_000 for i in range(3)},
        "solve/0": 0,
    }
    assert made.tasks == (
        Task("count/0", 0, 0.25 + 1 + 2 * 1.5, 1, 315_000_000, (0, 2), (3, 4), ()),
        Task("count/1", 0, 0.25 + 1 + 2 * 4.5, 1, 345_000_000, (1, 2), (5,), ()),
        Task("join/0", 1, 1.5, 1, 100_000_000, (3, 2), (6,), (0,)),
        Task("join/1", 1, 1.5, 1, 100_000_000, (4, 2), (7,), (0,)),
        Task("join/2", 1, 1.5, 1, 100_000_000, (5, 2), (8,), (1,)),
        made.tasks[-1],
    )
    solve = made.tasks[-1]
    assert (solve.inputs, solve.outputs) == ((6, 7, 8, 3, 4, 5), (9,))
    assert solve.predecessors == (0, 1, 2, 3, 4)


def test_an_mpi_step_takes_few_ranks_where_more_would_hardly_shorten_it() -> None:
    made = graph()
    solve = made.tasks[-1]
    # Half of it is serial: 192 ranks take 48.25 s, 16 ranks 51 s, which is less than 10 % more.
    assert solve.cores == 16
    assert solve.runtime_s == pytest.approx(96 * (0.5 + 0.5 / 16))
    assert "solve runs on 16 ranks of one node, with 0.5 of its work not shortened by them" in (
        made.assumptions
    )


@pytest.mark.parametrize(
    ("profile", "ranks"),
    [
        ("serial_fraction: 0.0", 192),
        ("serial_fraction: 0.0, ranks_max: 8", 8),
        ("serial_fraction: 0.5, ranks_max: 8", 8),
        ("serial_fraction: 1.0", 16),
    ],
)
def test_ranks_follow_amdahl_and_ranks_max(profile: str, ranks: int) -> None:
    made = graph(TEXT.replace("serial_fraction: 0.5", profile))
    assert made.tasks[-1].cores == ranks


def test_ranks_are_those_of_a_node_with_the_memory() -> None:
    made = graph(TEXT.replace("memory_mb: 2000", "memory_mb: 1000000"))
    # 1 TB fits into r7i.48xlarge only.
    assert made.tasks[-1].cores == 192


def test_more_memory_than_any_node_has_is_left_to_the_planner() -> None:
    made = graph(TEXT.replace("memory_mb: 2000", "memory_mb: 9000000"))
    assert made.tasks[-1].memory_bytes == 9 * 10**12


def test_runtimes_are_of_the_reference_core_whatever_a_traces_core_is() -> None:
    made = graph(book=with_figure("trace_core_speed", "0.5"))
    assert made.tasks[0].runtime_s * 0.5 == graph().tasks[0].runtime_s


def test_missing_figures_are_listed_with_what_is_assumed() -> None:
    words = graph("name: a\nsteps:\n  s:\n    kind: map\n    run: m:f\n", {}).assumptions
    assert (
        "cpu_s_per_task is missing in the profile of s: 0.05 s is assumed (profile_defaults)"
        in (words)
    )
    assert any(each.startswith("a vCPU of Lambda") for each in words)
    assert not any("trace_core_speed" in each for each in words)


def test_many_steps_without_a_figure_are_counted() -> None:
    steps = "".join(f"  s{i}:\n    kind: map\n    run: m:f\n" for i in range(9))
    words = graph(f"name: a\nsteps:\n{steps}", {}).assumptions
    assert any("in the profile of 9 of 9 steps:" in each for each in words)


def test_disk_that_a_profile_states_is_said_not_to_be_used() -> None:
    made = graph(TEXT.replace("memory_mb: 300", "memory_mb: 300, disk_mb_per_mb: 9"))
    assert any(each.startswith("disk_mb_per_mb of count is not used") for each in made.assumptions)


def test_an_optional_input_may_be_left_out() -> None:
    made = graph(uploads={"texts": (1_000_000,)})
    assert made.tasks[0].inputs == (0,)


@pytest.mark.parametrize(
    ("uploads", "words"),
    [
        (
            {},
            'how large is the input "texts".*Give --upload texts=SIZE, for example --upload texts=',
        ),
        ({"texts": ()}, 'how large is the input "texts"'),
        ({"texts": (1,), "reads": (1,)}, 'has no input "reads"; its inputs are texts, stop.'),
    ],
)
def test_wrong_uploads_are_refused(uploads: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(UserError, match=words):
        graph(uploads=uploads)


def test_a_workflow_without_inputs_takes_no_uploads() -> None:
    with pytest.raises(UserError, match=r'has no input "reads"; it takes no files\.'):
        graph("name: a\nsteps:\n  s:\n    kind: map\n    run: m:f\n", {"reads": (1,)})


@pytest.mark.parametrize(
    ("text", "uploads"),
    [
        (TEXT.replace("shards_per_mb: 0.4", "shards_per_mb: 1000000"), {"texts": (10**9,)}),
        # Few files, but every task of a later step would name all of them.
        (
            TEXT.replace("over: count", "over: upload.texts").replace(
                "with: [upload.stop]\n    profile: {cpu_s_per_task: 0",
                "with: [count]\n    profile: {cpu_s_per_task: 0",
            ),
            {"texts": (1,) * 10_000},
        ),
    ],
)
def test_a_graph_that_does_not_fit_into_memory_is_refused(
    text: str, uploads: dict[str, tuple[int, ...]]
) -> None:
    with pytest.raises(UserError, match="too many to plan one by one"):
        graph(text, uploads)


@given(
    texts=st.lists(st.integers(1, 50_000_000), min_size=1, max_size=12),
    stop=st.lists(st.integers(0, 5_000_000), max_size=2),
    per_mb=st.floats(0, 2),
)
def test_a_graph_agrees_with_the_loads_that_the_planner_of_steps_uses(
    texts: list[int], stop: list[int], per_mb: float
) -> None:
    text = TEXT.replace("shards_per_mb: 0.4", f"shards_per_mb: {per_mb:.3f}")
    uploads = {"texts": tuple(texts), "stop": tuple(stop)}
    workflow = load_workflow(text)
    made = graph_of_workflow(workflow, uploads, BOOK)
    work = loads(workflow, uploads, BOOK)
    makers = {file: i for i, task in enumerate(made.tasks) for file in task.outputs}
    assert len(makers) == sum(len(task.outputs) for task in made.tasks)
    for i, task in enumerate(made.tasks):
        assert all(before < i for before in task.predecessors)
        assert set(task.predecessors) == {makers[f] for f in task.inputs if f in makers}
    for number, step in enumerate(workflow.steps):
        load = work[step.name]
        tasks = [task for task in made.tasks if task.group == number]
        outputs = [file for task in tasks for file in task.outputs]
        assert len(tasks) == load.tasks
        assert len(outputs) == load.output_shards
        assert sum(made.file_bytes[f] for f in outputs) == round(load.output_mb * 1e6)
        # Shards are whole bytes here.
        assert max(task.memory_bytes for task in tasks) == pytest.approx(
            load.memory_bytes, abs=1 + 10 * len(outputs)
        )
        if step.kind == "map":
            computed_s = math.fsum(task.runtime_s - load.needs.warm_start_s for task in tasks)
            wanted_s = load.tasks * load.cpu_s(load.task_mb)
            assert computed_s == pytest.approx(wanted_s, abs=1e-5 * len(tasks))


# read_graph: by content


@pytest.mark.parametrize("name", ["read-clustering", "word-count", "letter-census", "line-census"])
def test_the_bundled_workflows_become_graphs(name: str) -> None:
    path = ROOT / "workflows" / f"{name}.yaml"
    role = "reads" if name == "read-clustering" else "texts"
    made = read_graph(path, BOOK, {role: (3_000_000,)})
    assert made.name == name
    assert made == read_graph(path, BOOK, {role: (3_000_000,)})


TRACE = {
    "name": "tiny",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {"tasks": [{"name": "a", "id": "a", "parents": [], "children": []}]},
        "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1}]},
    },
}


@pytest.mark.parametrize("file_name", ["trace.json", "trace", "trace.yaml"])
def test_a_trace_is_known_by_its_content(tmp_path: Path, file_name: str) -> None:
    path = tmp_path / file_name
    path.write_text("\n " + json.dumps(TRACE), encoding="utf-8")
    assert read_graph(path, BOOK, {}).name == "tiny"


@pytest.mark.parametrize("file_name", ["w.json", "w.yaml", "w"])
def test_a_workflow_file_may_be_written_as_json(tmp_path: Path, file_name: str) -> None:
    path = tmp_path / file_name
    path.write_text('{"name": "a", "steps": {"s": {"kind": "map", "run": "m:f"}}}')
    assert read_graph(path, BOOK, {}).name == "a"


def test_yaml_may_begin_with_a_brace_too(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("{name: a, steps: {s: {kind: map, run: 'm:f'}}}")
    assert read_graph(path, BOOK, {}).name == "a"


@pytest.mark.parametrize(
    ("file_name", "content", "words"),
    [
        ("x.json", b"hello", "x.json, line 1: this is not JSON"),
        ("x", b'{"a": ', "x, line 1: this is not JSON"),
        ("x.json", b"{}", "x.json: schemaVersion is missing"),
        ("x.json", b"[1]", r"x.json: a trace is a JSON object, not \[1\]."),
        ("x.yaml", b"hello", "x.yaml, line 1: a workflow file is a mapping"),
        ("x.yaml", b"", "x.yaml is empty; give a trace in WfFormat or a workflow file."),
        ("x.json", b" \n", "x.json is empty; give a trace in WfFormat or a workflow file."),
        ("x.yaml", b"\xff\xfea", "x.yaml is not text in UTF-8."),
        ("x.yaml", b"name: a\nsteps: {}\n", "x.yaml, line 2: steps"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, file_name: str, content: bytes, words: str
) -> None:
    path = tmp_path / file_name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_graph(path, BOOK, {})


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no file .*gone\.json"):
        read_graph(tmp_path / "gone.json", BOOK, {})
    with pytest.raises(UserError, match="cannot be read: "):
        read_graph(tmp_path, BOOK, {})


def test_a_trace_takes_no_uploads(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(TRACE), encoding="utf-8")
    with pytest.raises(UserError, match="--upload is for workflow files"):
        read_graph(path, BOOK, {"reads": (1,)})
