"""Traces: what is read from WfFormat, what is assumed, and the sentence for what is wrong."""

import copy
import json
import os
import random
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.books import default_books
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.wfformat import read_trace
from placement.errors import UserError
from placement.workflow import PLATFORMS

BOOK = default_books()[1]
GIB = 1 << 30
TRACES = os.environ.get("TRIVIUM_TRACES", "")


def task(name: str, parents: str = "", children: str = "", **lists: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "id": name,
        "parents": parents.split(),
        "children": children.split(),
        "inputFiles": lists.get("reads", []),
        "outputFiles": lists.get("makes", []),
    }


def ran(name: str, seconds: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"id": name, "runtimeInSeconds": seconds, **more}


# Stands in the file from its end to its beginning: the order of the file is not that of the graph.
SMALL: dict[str, Any] = {
    "name": "small",
    "schemaVersion": "1.5",
    "workflow": {
        "specification": {
            "tasks": [
                task("merge_3", "count_1 count_2", "", reads=["c1", "c2"], makes=["all"]),
                task("count_2", "cut_ID01", "merge_3", reads=["p2", "stop"], makes=["c2"]),
                task("count_1", "cut_ID01", "merge_3", reads=["p1", "stop", "p1"], makes=["c1"]),
                task("cut_ID01", "", "count_2 count_1", reads=["text"], makes=["p1", "p2"]),
            ],
            "files": [
                {"id": name, "sizeInBytes": size}
                for name, size in [
                    ("text", 1000),
                    ("stop", 7),
                    ("p1", 400),
                    ("p2", 600),
                    ("c1", 4),
                    ("c2", 6),
                    ("all", 0),
                ]
            ],
        },
        "execution": {
            "makespanInSeconds": 9,
            "executedAt": "20200101T000000+0000",
            "tasks": [
                ran("cut_ID01", 0.5, command={"program": "cut"}, coreCount=2, memoryInBytes=5e8),
                ran("count_1", 2, command={"program": "awk {\n"}, avgCPU=140.0),
                ran("count_2", 3, memoryInBytes=0, coreCount=1.5),
                ran("merge_3", 0, command={"arguments": []}, memoryInBytes=None),
            ],
            "machines": [
                {"nodeName": "n1", "architecture": "x86_64", "cpu": {"coreCount": 48}},
                {"nodeName": "n2"},
            ],
        },
    },
}


def read(trace: Any) -> TaskGraph:
    return read_trace(json.dumps(trace).encode(), "t.json", BOOK)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    trace = copy.deepcopy(SMALL)
    change(trace)
    return trace


def spec(trace: dict[str, Any], i: int) -> dict[str, Any]:
    found: dict[str, Any] = trace["workflow"]["specification"]["tasks"][i]
    return found


def run(trace: dict[str, Any], i: int) -> dict[str, Any]:
    found: dict[str, Any] = trace["workflow"]["execution"]["tasks"][i]
    return found


def test_a_trace_becomes_a_graph_in_topological_order() -> None:
    graph = read(SMALL)
    text, stop, p1, p2, c1, c2, joined = range(7)
    assert graph.name == "small"
    assert graph.file_names == ("text", "stop", "p1", "p2", "c1", "c2", "all")
    assert graph.file_bytes == (1000, 7, 400, 600, 4, 6, 0)
    assert graph.groups == (
        Group("cut", "map", PLATFORMS),
        Group("count", "map", PLATFORMS),
        Group("merge", "map", PLATFORMS),
    )
    assert graph.tasks == (
        Task("cut_ID01", 0, 0.5, 2, 500_000_000, (text,), (p1, p2), ()),
        Task("count_2", 1, 3.0, 2, GIB, (p2, stop), (c2,), (0,)),
        Task("count_1", 1, 2.0, 1, GIB, (p1, stop), (c1,), (0,)),
        Task("merge_3", 2, 0.0, 1, GIB, (c1, c2), (joined,), (1, 2)),
    )


def test_what_is_missing_is_assumed_and_listed() -> None:
    graph = read(SMALL)
    assert graph.machine == "n1 and 1 more (x86_64, 48 cores)"
    where = "a core of n1 and 1 more (x86_64, 48 cores), where the trace ran,"
    fast = "x86_64 and arm64 alike, is taken to be as fast as 1 reference core"
    assert graph.assumptions == (
        f"{where} is taken to be as fast as 1 reference core (trace_core_speed)",
        f"a vCPU of an instance, {fast} (instance_core_speed)",
        f"a vCPU of Lambda, {fast} (lambda_core_speed)",
        "coreCount is missing for 2 of 4 tasks: 1 core is assumed (trace_cores)",
        "1 of them used more than that by avgCPU: their runtimes are kept as they are",
        "memoryInBytes is missing or 0 for 3 of 4 tasks: 1,024 MB is assumed (trace_memory_mb)",
    )


def test_a_trace_that_leaves_nothing_out_assumes_speeds_only() -> None:
    def complete(trace: dict[str, Any]) -> None:
        for i in range(4):
            run(trace, i).update(coreCount=1, memoryInBytes=1)
        del trace["workflow"]["execution"]["machines"]
        trace["schemaVersion"] = "1.6"

    graph = read(changed(complete))
    assert graph.machine == "a machine without a name"
    assert [words.rsplit(" ", 1)[-1] for words in graph.assumptions] == [
        "(trace_core_speed)",
        "(instance_core_speed)",
        "(lambda_core_speed)",
    ]


def test_a_type_on_several_levels_makes_a_group_of_each() -> None:
    def one_type(trace: dict[str, Any]) -> None:
        for i in (0, 1, 3):
            run(trace, i)["command"] = {"program": "tool"}

    names = [group.name for group in read(changed(one_type)).groups]
    assert names == ["tool@1", "count", "tool@2", "tool@3"]


def test_groups_never_share_a_name() -> None:
    def clash(trace: dict[str, Any]) -> None:
        for i, program in enumerate(["a", "a@1", "a@2", "a"]):
            run(trace, i)["command"] = {"program": program}

    names = [group.name for group in read(changed(clash)).groups]
    assert names == ["a@1", "a@2", "a@1'", "a@3"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("individuals_merge_ID0000011", "individuals_merge"),
        ("bowtie2_00000012", "bowtie2"),
        ("NFCORE_MAG.MAG.KRAKEN2", "NFCORE_MAG.MAG.KRAKEN2"),
        ("_12", "_12"),
    ],
)
def test_a_type_is_the_name_without_its_number(name: str, kind: str) -> None:
    trace = {
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [{"name": name, "id": "x", "parents": [], "children": []}],
            },
            "execution": {"tasks": [ran("x")]},
        },
    }
    graph = read(trace)
    assert graph.name == "t.json"
    assert [group.name for group in graph.groups] == [kind]


def test_the_maker_of_an_input_is_waited_for_even_if_it_is_no_parent() -> None:
    def unlinked(trace: dict[str, Any]) -> None:
        spec(trace, 0)["inputFiles"] = ["c1", "c2", "p1"]
        spec(trace, 0)["parents"] = ["count_1"]
        spec(trace, 1)["children"] = []

    graph = read(changed(unlinked))
    assert graph.tasks[3].predecessors == (0, 1, 2)
    assert graph.assumptions[-1] == (
        "tasks that make an input of another and are not among its parents: 2; "
        "they are waited for all the same"
    )


def test_of_a_file_that_several_tasks_make_a_reader_waits_for_its_parents_only() -> None:
    def twice(trace: dict[str, Any]) -> None:
        spec(trace, 1)["outputFiles"] = ["c1"]
        spec(trace, 0)["parents"] = ["count_1"]
        spec(trace, 1)["children"] = []

    graph = read(changed(twice))
    # count_2 makes c1 as well, and merge_3, the last, reads it.
    assert graph.tasks[-1].predecessors == (2,)
    assert graph.assumptions[-1] == (
        "files that more than one task makes: 1; their readers wait for their parents only"
    )


def test_a_task_may_read_what_it_writes() -> None:
    def own(trace: dict[str, Any]) -> None:
        spec(trace, 3)["inputFiles"] = ["text", "p1"]

    assert read(changed(own)).tasks[0].predecessors == ()


BAD = {
    "no version": (
        lambda t: t.pop("schemaVersion"),
        'schemaVersion is missing; the texts "1.5" and "1.6"',
    ),
    "old version": (
        lambda t: t.update(schemaVersion="1.4"),
        'schemaVersion is "1.4"; the texts "1.5" and',
    ),
    "no text": (lambda t: t.update(schemaVersion=1.5), "schemaVersion is the number 1.5;"),
    "no workflow": (lambda t: t.pop("workflow"), "workflow is missing"),
    "a list": (lambda t: t.update(workflow=[]), r"workflow is \[\], not an object"),
    "no spec": (
        lambda t: t["workflow"].pop("specification"),
        "workflow.specification is missing",
    ),
    "no runs": (lambda t: t["workflow"].pop("execution"), "workflow.execution is missing"),
    "no tasks": (
        lambda t: t["workflow"]["specification"].pop("tasks"),
        "workflow.specification.tasks is missing",
    ),
    "zero tasks": (
        lambda t: t["workflow"]["specification"].update(tasks=[]),
        "workflow.specification.tasks is empty; there is nothing to place",
    ),
    "task no object": (
        lambda t: t["workflow"]["specification"]["tasks"].append("x"),
        r'workflow.specification.tasks\[4\] is "x", not an object',
    ),
    "tasks no list": (
        lambda t: t["workflow"]["specification"].update(tasks={}),
        r"workflow.specification.tasks is {}, not a list",
    ),
    "files no list": (
        lambda t: t["workflow"]["specification"].update(files="all"),
        'workflow.specification.files is "all", not a list',
    ),
    "no id": (lambda t: spec(t, 1).pop("id"), r"specification.tasks\[1\] needs an id"),
    "number as id": (lambda t: spec(t, 1).update(id=7), r"specification.tasks\[1\] needs an id"),
    "twice": (
        lambda t: spec(t, 1).update(id="merge_3"),
        'workflow.specification.tasks holds the id "merge_3" twice',
    ),
    "ran twice": (
        lambda t: t["workflow"]["execution"]["tasks"].append(ran("count_1")),
        'workflow.execution.tasks holds the id "count_1" twice',
    ),
    "file twice": (
        lambda t: t["workflow"]["specification"]["files"].append({"id": "p1", "sizeInBytes": 1}),
        'workflow.specification.files holds the id "p1" twice',
    ),
    "never ran": (
        lambda t: t["workflow"]["execution"]["tasks"].pop(2),
        'workflow.execution.tasks has no entry for the task "count_2"',
    ),
    "unknown run": (
        lambda t: t["workflow"]["execution"]["tasks"].append(ran("ghost")),
        'workflow.execution.tasks holds "ghost", which is not in the specification',
    ),
    "no parents": (lambda t: spec(t, 1).pop("parents"), 'parents of the task "count_2" is missing'),
    "no children": (lambda t: spec(t, 1).pop("children"), 'children of the task "count_2" is'),
    "parents text": (
        lambda t: spec(t, 1).update(parents="cut_ID01"),
        'parents of the task "count_2" is "cut_ID01", not a list of ids',
    ),
    "dangling parent": (
        lambda t: spec(t, 1).update(parents=["gone"]),
        'parents of the task "count_2" names "gone", which is no task of the trace',
    ),
    "dangling child": (
        lambda t: spec(t, 1).update(children=["merge_3", "gone"]),
        'children of the task "count_2" names "gone", which is no task of the trace',
    ),
    "parent a list": (
        lambda t: spec(t, 1).update(parents=[["cut_ID01"]]),
        r'parents of the task "count_2" names \["cut_ID01"\], which is no task',
    ),
    "parent unanswered": (
        lambda t: spec(t, 3).update(children=["count_2"]),
        'the task "count_1" names "cut_ID01" as a parent, which does not name it as a child',
    ),
    "child unanswered": (
        lambda t: spec(t, 2).update(parents=[]),
        'the task "cut_ID01" names "count_1" as a child, which does not name it as a parent',
    ),
    "unknown input": (
        lambda t: spec(t, 1).update(inputFiles=["p9"]),
        'inputFiles of the task "count_2" names "p9", which is not among workflow.specification',
    ),
    "unknown output": (
        lambda t: spec(t, 1).update(outputFiles=["c9"]),
        'outputFiles of the task "count_2" names "c9", which is not among workflow.specification',
    ),
    "no files at all": (
        lambda t: t["workflow"]["specification"].pop("files"),
        'inputFiles of the task "merge_3" names "c1", which is not among workflow.specification',
    ),
    "no size": (
        lambda t: t["workflow"]["specification"]["files"][2].pop("sizeInBytes"),
        'sizeInBytes of the file "p1" is missing',
    ),
    "negative size": (
        lambda t: t["workflow"]["specification"]["files"][2].update(sizeInBytes=-1),
        'sizeInBytes of the file "p1" is -1; it may be 0 to',
    ),
    "huge size": (
        lambda t: t["workflow"]["specification"]["files"][2].update(sizeInBytes=10**400),
        'sizeInBytes of the file "p1" is 1000000.*; it may be 0 to',
    ),
    "no runtime": (
        lambda t: run(t, 1).pop("runtimeInSeconds"),
        'runtimeInSeconds of the task "count_1" is missing',
    ),
    "negative runtime": (
        lambda t: run(t, 1).update(runtimeInSeconds=-0.5),
        'runtimeInSeconds of the task "count_1" is -0.5; it may be 0 to 1,000,000,000',
    ),
    "runtime nan": (
        lambda t: run(t, 1).update(runtimeInSeconds=float("nan")),
        'runtimeInSeconds of the task "count_1" is NaN; it may be 0 to',
    ),
    "endless runtime": (
        lambda t: run(t, 1).update(runtimeInSeconds=float("inf")),
        'runtimeInSeconds of the task "count_1" is Infinity; it may be 0 to',
    ),
    "runtime text": (
        lambda t: run(t, 1).update(runtimeInSeconds="2 s"),
        'runtimeInSeconds of the task "count_1" is "2 s", not a number',
    ),
    "runtime true": (
        lambda t: run(t, 1).update(runtimeInSeconds=True),
        'runtimeInSeconds of the task "count_1" is true, not a number',
    ),
    "negative cores": (
        lambda t: run(t, 1).update(coreCount=-1),
        'coreCount of the task "count_1" is -1; it may be 0 to',
    ),
    "negative memory": (
        lambda t: run(t, 1).update(memoryInBytes=-1),
        'memoryInBytes of the task "count_1" is -1; it may be 0 to',
    ),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_one_sentence(change: Callable[[dict[str, Any]], object], words: str) -> None:
    with pytest.raises(UserError, match=words) as raised:
        read(changed(change))
    message = str(raised.value)
    assert message.startswith("t.json: ")
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "t.json, line 1: this is not JSON: expecting value."),
        (b'{\n"a": 1,\n}', "t.json, line 2: this is not JSON: "),
        (b"\xff\xfe\xfa", "t.json is not text in UTF-8."),
        (b"[" * 100_000, "t.json is nested too deeply."),
        (b"1" * 5000, "t.json holds a number with too many digits."),
        (rb'"\ud83d"', "t.json is not text in UTF-8."),
        (b"[]", r"t.json: a trace is a JSON object, not \[\]."),
        (b"null", "t.json: a trace is a JSON object, not null."),
    ],
)
def test_what_is_no_trace_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read_trace(raw, "t.json", BOOK)


def linked(parents: list[list[int]]) -> dict[str, Any]:
    """Make a trace of tasks that name these parents, by position."""
    children: list[list[int]] = [[] for _ in parents]
    for i, each in enumerate(parents):
        for parent in each:
            children[parent].append(i)
    return {
        "name": "linked",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    task(
                        f"t{i}",
                        " ".join(f"t{p}" for p in each),
                        " ".join(f"t{c}" for c in children[i]),
                    )
                    for i, each in enumerate(parents)
                ]
            },
            "execution": {"tasks": [ran(f"t{i}", i) for i in range(len(parents))]},
        },
    }


@pytest.mark.parametrize(
    ("parents", "circle"),
    [
        ([[0]], '"t0" -> "t0"'),
        ([[], [0, 3], [1], [2], [3]], '"t1" -> "t2" -> "t3" -> "t1"'),
        ([[9], *[[i] for i in range(9)]], '"t0" -> "t1" -> "t2" -> ... -> "t9" -> "t0"'),
    ],
)
def test_a_circle_is_named(parents: list[list[int]], circle: str) -> None:
    with pytest.raises(UserError, match="the tasks go round in a circle: ") as raised:
        read(linked(parents))
    assert str(raised.value) == f"t.json: the tasks go round in a circle: {circle}."


dags = st.integers(1, 25).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, max(0, i - 1)), max_size=4 if i else 0) for i in range(n))
    )
)


@given(dags, st.randoms(use_true_random=False))
def test_any_graph_keeps_its_edges_and_comes_in_the_order_of_levels(
    parents: tuple[list[int], ...], shuffle: random.Random
) -> None:
    trace = linked([sorted(set(each)) for each in parents])
    order = list(range(len(parents)))
    shuffle.shuffle(order)
    specified = trace["workflow"]["specification"]["tasks"]
    trace["workflow"]["specification"]["tasks"] = [specified[i] for i in order]
    shuffle.shuffle(trace["workflow"]["execution"]["tasks"])
    graph = read(trace)
    wanted = {f"t{i}": {f"t{p}" for p in each} for i, each in enumerate(parents)}
    # An oracle of its own: the levels by the standard library's order.
    levels: dict[str, int] = {}
    for name in TopologicalSorter(wanted).static_order():
        levels[name] = 1 + max((levels[p] for p in wanted[name]), default=0)
    for i, each in enumerate(graph.tasks):
        assert {graph.tasks[p].id for p in each.predecessors} == wanted[each.id]
        assert all(p < i for p in each.predecessors)
        assert each.runtime_s == int(each.id[1:])
    positions = {f"t{i}": at for at, i in enumerate(order)}
    keys = [(levels[each.id], positions[each.id]) for each in graph.tasks]
    assert keys == sorted(keys)
    # A group of its own for every type and level, and here every task has a type of its own.
    assert len(graph.groups) == len(parents)


def test_a_hundred_thousand_tasks_are_read() -> None:
    raw = json.dumps(linked([[], *([i // 10] for i in range(100_000))])).encode()
    graph = read_trace(raw, "t.json", BOOK)
    assert len(graph.tasks) == 100_001
    assert max(len(each.predecessors) for each in graph.tasks) == 1


@pytest.mark.skipif(not TRACES, reason="TRIVIUM_TRACES names no folder with real traces")
def test_all_real_traces_are_read() -> None:
    files = sorted(Path(TRACES).glob("*.json"))
    assert files
    for file in files:
        raw = file.read_bytes()
        graph = read_trace(raw, file.name, BOOK)
        workflow = json.loads(raw)["workflow"]
        specified = {each["id"]: each for each in workflow["specification"]["tasks"]}
        assert {each.id for each in graph.tasks} == set(specified)
        for i, each in enumerate(graph.tasks):
            said = specified[each.id]
            before = {graph.tasks[p].id for p in each.predecessors}
            assert before == set(said["parents"]), file.name
            assert [graph.file_names[f] for f in each.inputs] == said["inputFiles"], file.name
            assert [graph.file_names[f] for f in each.outputs] == said["outputFiles"], file.name
            assert all(p < i for p in each.predecessors)
        assert len({group.name for group in graph.groups}) == len(graph.groups)
        assert {each.group for each in graph.tasks} == set(range(len(graph.groups)))
        assert not any("\n" in group.name for group in graph.groups), file.name
