"""Workflow traces in WfFormat (WfCommons, doi:10.1016/j.future.2021.09.043) to a `TaskGraph`.

A trace says in JSON what ran: tasks with their runtimes, parents and files. Versions 1.5 and 1.6
are read; they do not differ in what is used here. Every mistake becomes one sentence that names
the trace and the task or file.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from placement.books import PlatformBook
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.trace_json import Checker, Named, Positions, distinct, parse, shown
from placement.workflow import PLATFORMS

VERSIONS = ("1.5", "1.6")

# Far above what a machine can have done or held, and far below where integers of 64 bits end.
_MOST_S = 1e9
_MOST_BYTES = 1e15
_MOST_CORES = 1e5
_BYTES_PER_MIB = 1 << 20
_FULL_CPU_PERCENT = 100
_CYCLE_SHOWN = 5

# What distinguishes the tasks of one type: "_ID0000012" and "_12", but not the 2 of "bowtie2".
_NUMBER = re.compile(r"(?:[_-]ID\w*|[_-]\d+)$")


def read_trace(raw: bytes, source: str, book: PlatformBook) -> TaskGraph:
    """Read a trace; `source` is what messages call it.

    Tasks are ordered by level, then by their position in the file; groups by their first task.
    Raises UserError: one sentence.
    """
    return graph_of(parse(raw, source), source, book)


def graph_of(data: Any, source: str, book: PlatformBook) -> TaskGraph:
    """Return the task graph of a trace's values. Raises UserError: one sentence."""
    checked = Checker(source)
    trace = _trace(checked, data)
    tasks = checked.positions(trace.specified, "workflow.specification.tasks")
    files = checked.positions(trace.files, "workflow.specification.files")
    executed = _executed(checked, trace.executed, tasks)
    inputs, outputs = (
        checked.named(
            trace.specified,
            field,
            files,
            needed=False,
            unknown="is not among workflow.specification.files",
        )
        for field in ("inputFiles", "outputFiles")
    )
    parents, files_say = _with_makers(_parents(checked, trace, tasks), inputs, outputs)
    levels = _levels(checked, list(tasks), parents)
    needs = _needs(checked, executed, book)
    order = np.argsort(levels, kind="stable")
    types = [_type(spec, run) for spec, run in zip(trace.specified, executed, strict=True)]
    groups, group_of = _groups(types, levels, order.tolist())
    sizes = checked.numbers(trace.files, "sizeInBytes", "file", _MOST_BYTES, needed=True)
    machine = _machine(trace.machines)
    return TaskGraph(
        name=trace.name,
        machine=machine,
        tasks=_tasks(list(tasks), group_of, needs, (inputs, outputs, parents), order),
        groups=groups,
        file_names=tuple(files),
        file_bytes=tuple(map(math.ceil, sizes)),
        assumptions=(
            _speed(book, f"a core of {machine}, where the trace ran,", "trace_core_speed"),
            *speeds(book),
            *needs.assumptions,
            *files_say,
        ),
    )


def speeds(book: PlatformBook) -> tuple[str, str]:
    """Return the sentences that say how fast a vCPU of each platform is taken to be."""
    return (
        _speed(book, "a vCPU of an instance, x86_64 and arm64 alike,", "instance_core_speed"),
        _speed(book, "a vCPU of Lambda, x86_64 and arm64 alike,", "lambda_core_speed"),
    )


def _speed(book: PlatformBook, core: str, figure: str) -> str:
    speed = _count(book.value(figure), "reference core")
    return f"{core} is taken to be as fast as {speed} ({figure})"


@dataclass(frozen=True, slots=True)
class _Trace:
    """The parts of a trace that are used; objects that are not looked into yet."""

    name: str
    specified: list[dict[str, Any]]
    executed: list[dict[str, Any]]
    files: list[dict[str, Any]]
    machines: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Needs:
    """What each task needs, by its position in the file, and what was assumed of it."""

    runtime_s: list[float]
    cores: list[int]
    memory_bytes: list[int]
    assumptions: tuple[str, ...]


def _tasks(
    names: Sequence[str],
    group_of: Sequence[int],
    needs: _Needs,
    named: tuple[Named, Named, Named],
    order: Positions,
) -> tuple[Task, ...]:
    """Return the tasks in their order; `named` are their inputs, outputs and parents."""
    inputs, outputs, parents = named
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    renamed = parents.owners * order.size + place[parents.names]
    read, made = inputs.tuples(), outputs.tuples()
    before = Named.of(renamed, parents.tasks, parents.known).tuples()
    return tuple(
        Task(
            id=names[i],
            group=group_of[i],
            runtime_s=needs.runtime_s[i],
            cores=needs.cores[i],
            memory_bytes=needs.memory_bytes[i],
            inputs=read[i],
            outputs=made[i],
            predecessors=before[i],
        )
        for i in order.tolist()
    )


def _trace(checked: Checker, data: Any) -> _Trace:
    if not isinstance(data, dict):
        raise checked.error(f"a trace is a JSON object, not {shown(data)}")
    version = data.get("schemaVersion")
    if version not in VERSIONS:
        said = "missing" if version is None else shown(version)
        number = "the number " if isinstance(version, int | float) else ""
        known = " and ".join(f'"{each}"' for each in VERSIONS)
        raise checked.error(f"schemaVersion is {number}{said}; the texts {known} are read")
    workflow = checked.part(data, "workflow", dict)
    specification = checked.part(workflow, "workflow.specification", dict)
    execution = checked.part(workflow, "workflow.execution", dict)
    tasks = checked.objects(specification, "workflow.specification.tasks")
    if not tasks:
        raise checked.error("workflow.specification.tasks is empty; there is nothing to place")
    name, machines = data.get("name"), execution.get("machines")
    return _Trace(
        name if isinstance(name, str) and name else checked.source,
        tasks,
        checked.objects(execution, "workflow.execution.tasks"),
        # Tasks without files need no list of them.
        checked.objects({"files": [], **specification}, "workflow.specification.files"),
        [each for each in machines if isinstance(each, dict)] if isinstance(machines, list) else [],
    )


def _executed(
    checked: Checker, items: list[dict[str, Any]], tasks: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return the execution entries in the order of the specification."""
    path = "workflow.execution.tasks"
    found = checked.positions(items, path)
    for name in found:
        if name not in tasks:
            raise checked.error(f"{path} holds {shown(name)}, which is not in the specification")
    for name in tasks:
        if name not in found:
            raise checked.error(f"{path} has no entry for the task {shown(name)}")
    return [items[found[name]] for name in tasks]


# who waits for whom


def _parents(checked: Checker, trace: _Trace, tasks: Mapping[str, int]) -> Named:
    """Return the parents of each task, after both ends of every edge have agreed on it."""
    parents, children = (
        checked.named(trace.specified, field, tasks, needed=True, unknown="is no task of the trace")
        for field in ("parents", "children")
    )
    mirrored = Named(children.names, children.owners, len(tasks), len(tasks))
    disputed = np.setxor1d(parents.pairs, mirrored.pairs, assume_unique=True)
    if disputed.size:
        child, parent = divmod(int(disputed[0]), len(tasks))
        younger, older = (shown(trace.specified[task]["id"]) for task in (child, parent))
        if disputed[0] in parents.pairs:
            raise checked.error(
                f"the task {younger} names {older} as a parent, which does not name it as a child"
            )
        raise checked.error(
            f"the task {older} names {younger} as a child, which does not name it as a parent"
        )
    return Named.of(parents.pairs, len(tasks), len(tasks))


def _with_makers(parents: Named, inputs: Named, outputs: Named) -> tuple[Named, tuple[str, ...]]:
    """Return the parents with the makers of inputs that the trace leaves out, and what to say.

    Of a file that several tasks make, a reader takes what is there: only its parents are sure.
    """
    makers = np.bincount(outputs.names, minlength=outputs.known)
    maker = np.full(outputs.known, -1)
    maker[outputs.names] = outputs.owners
    maker[makers > 1] = -1
    makes = maker[inputs.names]
    others = (makes >= 0) & (makes != inputs.owners)
    wanted = distinct(inputs.owners[others] * parents.known + makes[others])
    missing = np.setdiff1d(wanted, parents.pairs, assume_unique=True)
    several = int((makers > 1).sum())
    said = []
    if missing.size:
        said.append(
            f"tasks that make an input of another and are not among its parents: {missing.size:,}; "
            "they are waited for all the same"
        )
    if several:
        said.append(
            f"files that more than one task makes: {several:,}; their readers wait for their "
            "parents only"
        )
    pairs = np.concatenate([parents.pairs, missing])
    return Named.of(pairs, parents.tasks, parents.known), tuple(said)


def _levels(checked: Checker, names: Sequence[str], parents: Named) -> list[int]:
    """Return the number of tasks on the longest path to each task, itself included."""
    children = Named.of(parents.names * parents.tasks + parents.owners, len(names), len(names))
    after = children.tuples()
    waits = np.bincount(parents.owners, minlength=len(names)).tolist()
    levels = [1] * len(names)
    ready = [task for task, count in enumerate(waits) if not count]
    for task in ready:  # grows while it is walked
        below = levels[task] + 1
        for child in after[task]:
            # The last parent to come decides: tasks become ready in the order of their levels.
            waits[child] -= 1
            if not waits[child]:
                levels[child] = below
                ready.append(child)
    if len(ready) < len(names):
        round_trip = [shown(names[task]) for task in _cycle(parents.tuples(), waits)]
        if len(round_trip) > _CYCLE_SHOWN:
            round_trip[_CYCLE_SHOWN - 2 : -2] = ["..."]
        raise checked.error(f"the tasks go round in a circle: {' -> '.join(round_trip)}")
    return levels


def _cycle(parents: Sequence[Iterable[int]], waits: Sequence[int]) -> list[int]:
    """Return one cycle in the direction of the data, its first task repeated at the end.

    Every task that still waits has a parent that does, so walking backwards must come round.
    """
    task = next(task for task, count in enumerate(waits) if count)
    walked: dict[int, int] = {}
    while task not in walked:
        walked[task] = len(walked)
        task = min(parent for parent in parents[task] if waits[parent])
    return [task, *reversed(list(walked)[walked[task] :])]


# types and groups


def _type(specified: Mapping[str, Any], executed: Mapping[str, Any]) -> str:
    """Return a task's type: its program, or its name without the number at its end.

    A program with white space in it is a script, as nf-core traces have them: different for every
    task, and no name.
    """
    command = executed.get("command")
    program = command.get("program") if isinstance(command, dict) else None
    if isinstance(program, str) and len(program.split()) == 1:
        return program
    name = specified.get("name")
    if not isinstance(name, str) or not name.strip():
        name = specified["id"]
    return _NUMBER.sub("", name) or name


def _groups(
    types: Sequence[str], levels: Sequence[int], order: Iterable[int]
) -> tuple[tuple[Group, ...], list[int]]:
    """Return the groups, by their first task, and the group of each task."""
    pairs = list(dict.fromkeys((types[task], levels[task]) for task in order))
    levels_of = Counter(kind for kind, _ in pairs)
    names: dict[str, None] = {}
    for kind, level in pairs:
        name = kind if levels_of[kind] == 1 else f"{kind}@{level}"
        while name in names:  # a type may itself be called "x@2"
            name += "'"
        names[name] = None
    number = {pair: i for i, pair in enumerate(pairs)}
    return (
        tuple(Group(name, "map", PLATFORMS) for name in names),
        [number[pair] for pair in zip(types, levels, strict=True)],
    )


# what tasks need


def _needs(checked: Checker, executed: list[dict[str, Any]], book: PlatformBook) -> _Needs:
    runtimes = checked.numbers(executed, "runtimeInSeconds", "task", _MOST_S, needed=True)
    counted = checked.numbers(executed, "coreCount", "task", _MOST_CORES, needed=False)
    held = checked.numbers(executed, "memoryInBytes", "task", _MOST_BYTES, needed=False)
    cores = math.ceil(book.value("trace_cores"))
    memory_mb = math.ceil(book.value("trace_memory_mb"))
    busy = sum(
        isinstance(used := run.get("avgCPU"), int | float) and used > _FULL_CPU_PERCENT * cores
        for run, stated in zip(executed, counted, strict=True)
        if not stated
    )
    said, of_all = [], f"of {_count(len(executed), 'task')}"
    if 0 in counted:
        said.append(
            f"coreCount is missing for {counted.count(0):,} {of_all}: "
            f"{_count(cores, 'core')} is assumed (trace_cores)"
        )
    if busy:
        said.append(
            f"{busy:,} of them used more than that by avgCPU: their runtimes are kept as they are"
        )
    if 0 in held:
        said.append(
            f"memoryInBytes is missing or 0 for {held.count(0):,} {of_all}: "
            f"{memory_mb:,} MB is assumed (trace_memory_mb)"
        )
    return _Needs(
        [float(each) for each in runtimes],
        [math.ceil(each) or cores for each in counted],
        [math.ceil(each) or memory_mb * _BYTES_PER_MIB for each in held],
        tuple(said),
    )


def _machine(machines: list[dict[str, Any]]) -> str:
    """Say what a trace ran on, as far as it says so."""
    if not machines:
        return "a machine without a name"
    first = machines[0]
    said = first.get("cpu")
    cpu: dict[str, Any] = said if isinstance(said, dict) else {}
    words = [first.get("architecture"), cpu.get("vendor")]
    if isinstance(cpu.get("coreCount"), int):
        words.append(_count(cpu["coreCount"], "core"))
    what = ", ".join(str(word) for word in words if word)
    name = first.get("nodeName")
    more = f" and {len(machines) - 1} more" if len(machines) > 1 else ""
    return f"{name if isinstance(name, str) else 'a machine'}{more}" + (
        f" ({what})" if what else ""
    )


def _count(number: float, noun: str) -> str:
    return f"{number:,g} {noun}" if number == 1 else f"{number:,g} {noun}s"
