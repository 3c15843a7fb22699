"""The tasks of a trace, or of a schedule's own graph, as the checker reads them."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.checker.books import Books

PLATFORMS = ("lambda", "ray", "hpc")
_MIB = 1 << 20
_TRAILING_NUMBER = re.compile(r"[_-](?:ID\w*|\d+)$")


@dataclass(frozen=True)
class Need:
    """What a task needs; `inputs` and `outputs` are names of files, each once."""

    id: str
    group: str
    runtime_s: float
    cores: int
    memory_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    predecessors: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """What a group of tasks is and where it may run."""

    kind: str = "map"
    platforms: tuple[str, ...] = PLATFORMS


@dataclass(frozen=True)
class Graph:
    """All tasks by id, the sizes of all files in bytes, all groups by name."""

    needs: Mapping[str, Need]
    file_bytes: Mapping[str, int]
    groups: Mapping[str, Group]


def trace_graph(trace: Mapping[str, Any], books: Books) -> Graph:
    """Read a WfFormat 1.5 trace; groups are the tasks of one type on one level.

    A task waits for its parents, for tasks that name it as a child, and for the only maker of an
    input. No cores or no memory mean that the trace does not say. Raises ValueError for a cycle
    and for a name that nothing stands behind.
    """
    specification = trace["workflow"]["specification"]
    execution = {task["id"]: task for task in trace["workflow"]["execution"]["tasks"]}
    rows = {task["id"]: task for task in specification["tasks"]}
    before = _waits_for(rows)
    levels = _levels(before)
    needs = {}
    for name, row in rows.items():
        ran = execution[name]
        memory = ran.get("memoryInBytes") or books.exact("trace_memory_mb") * _MIB
        needs[name] = Need(
            name,
            f"{_type(row, ran)} {levels[name]}",
            float(ran["runtimeInSeconds"]),
            math.ceil(ran.get("coreCount") or books.exact("trace_cores")),
            math.ceil(memory),
            _once(row.get("inputFiles")),
            _once(row.get("outputFiles")),
            tuple(sorted(before[name])),
        )
    sizes = {
        file["id"]: math.ceil(file["sizeInBytes"]) for file in specification.get("files") or ()
    }
    return _closed(Graph(needs, sizes, {need.group: Group() for need in needs.values()}))


def schedule_graph(data: Mapping[str, Any]) -> Graph:
    """Read a schedule's own "graph": its tasks, files, and what its groups are, where it says so.

    Raises ValueError for a cycle and for a name that nothing stands behind.
    """
    needs = {
        row["id"]: Need(
            row["id"],
            str(row["group"]),
            float(row["runtime_s"]),
            int(row["cores"]),
            int(row["memory_bytes"]),
            _once(row["inputs"]),
            _once(row["outputs"]),
            _once(row["predecessors"]),
        )
        for row in data["tasks"]
    }
    groups = {need.group: Group() for need in needs.values()}
    for row in data.get("groups") or ():
        groups[row["name"]] = Group(row["kind"], tuple(row["platforms"]))
    graph = _closed(Graph(needs, data["files"], groups))
    _levels({name: set(need.predecessors) for name, need in needs.items()})
    return graph


def _once(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names or ()))


def _waits_for(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    before: dict[str, set[str]] = {
        name: set(row.get("parents") or ()) for name, row in rows.items()
    }
    makers: dict[str, list[str]] = defaultdict(list)
    for name, row in rows.items():
        for child in row.get("children") or ():
            if child not in before:
                raise ValueError(f'task "{name}" has the child "{child}", which is not there')
            before[child].add(name)
        for file in row.get("outputFiles") or ():
            makers[file].append(name)
    for name, row in rows.items():
        for file in row.get("inputFiles") or ():
            if len(makers[file]) == 1:
                before[name].update(maker for maker in makers[file] if maker != name)
    return before


def _levels(before: Mapping[str, set[str]]) -> dict[str, int]:
    """Return how many tasks the longest chain before each task has (Kahn's algorithm)."""
    after: dict[str, list[str]] = defaultdict(list)
    for name, earlier in before.items():
        for each in earlier:
            if each not in before:
                raise ValueError(f'task "{name}" waits for "{each}", which is not there')
            after[each].append(name)
    left = {name: len(earlier) for name, earlier in before.items()}
    levels = {name: 0 for name, count in left.items() if not count}
    ready = list(levels)
    while ready:
        name = ready.pop()
        for later in after[name]:
            levels[later] = max(levels.get(later, 0), levels[name] + 1)
            left[later] -= 1
            if not left[later]:
                ready.append(later)
    if any(left.values()):
        raise ValueError(f'task "{min(n for n, c in left.items() if c)}" waits for itself')
    return levels


def _type(row: Mapping[str, Any], ran: Mapping[str, Any]) -> str:
    """Return the program, or where a whole script stands there, the name without its number."""
    program = (ran.get("command") or {}).get("program") or ""
    one_word = program and not program.split()[1:]
    return program if one_word else _TRAILING_NUMBER.sub("", row.get("name") or row["id"])


def _closed(graph: Graph) -> Graph:
    for need in graph.needs.values():
        for file in (*need.inputs, *need.outputs):
            if file not in graph.file_bytes:
                raise ValueError(f'task "{need.id}" names the file "{file}", which has no size')
    return graph
