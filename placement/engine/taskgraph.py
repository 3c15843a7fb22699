"""A task graph: tasks with their times, needs and files, and who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass

from placement.workflow import Kind, Platform


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that are placed and reported together: a step, or one type of task on one level."""

    name: str
    kind: Kind
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One task; files and tasks are named by their positions in the graph.

    `runtime_s` is the time on `cores` cores of the machine that `TaskGraph.machine` names, without
    bringing inputs and putting outputs back.
    """

    id: str
    group: int
    runtime_s: float
    cores: int
    memory_bytes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    predecessors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaskGraph:
    """Tasks in topological order: every predecessor has a smaller position.

    A file that no task makes lies in the bucket from the start. `assumptions` are sentences that
    say what was assumed for figures that the source leaves out.
    """

    name: str
    machine: str
    tasks: tuple[Task, ...]
    groups: tuple[Group, ...]
    file_names: tuple[str, ...]
    file_bytes: tuple[int, ...]
    assumptions: tuple[str, ...]
