"""Task graphs for the placement engine's tests: of given tasks, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.workflow import PLATFORMS

MIB = 1 << 20


def graph_of(
    *tasks: Task, files: tuple[int, ...] = (), groups: tuple[Group, ...] = ()
) -> TaskGraph:
    """Make a graph of tasks, whose files have so many bytes, in the given groups, or in one."""
    return TaskGraph(
        name="made",
        machine="paper",
        tasks=tasks,
        groups=groups or (Group("g", "map", PLATFORMS),),
        file_names=tuple(f"f{file}" for file in range(len(files))),
        file_bytes=files,
        assumptions=(),
    )


@st.composite
def task_graphs(draw: st.DrawFn, most_tasks: int = 8) -> TaskGraph:
    """Draw a graph of up to so many tasks with files, cores, memory and groups of all kinds."""
    count = draw(st.integers(1, most_tasks))
    groups = draw(st.integers(1, 3))
    sizes: list[int] = [draw(st.integers(0, 30_000_000)) for _ in range(draw(st.integers(0, 3)))]
    made: list[int] = []
    tasks: list[Task] = []
    for place in range(count):
        before = sorted(draw(st.sets(st.integers(0, place - 1), max_size=3))) if place else []
        inputs = set(draw(st.sets(st.integers(0, len(sizes) - 1), max_size=2)) if sizes else ())
        inputs = {file for file in inputs if file not in made}
        inputs |= {file for task in before for file in tasks[task].outputs}
        outputs: tuple[int, ...] = ()
        if draw(st.booleans()):
            outputs = (len(sizes),)
            made.append(len(sizes))
            sizes.append(draw(st.integers(0, 30_000_000)))
        tasks.append(
            Task(
                id=f"t{place}",
                group=draw(st.integers(0, groups - 1)),
                runtime_s=draw(st.floats(0, 60).map(lambda x: round(x, 3))),
                cores=draw(st.sampled_from((1, 1, 1, 2))),
                memory_bytes=draw(st.integers(1, 900)) * MIB,
                inputs=tuple(sorted(inputs)),
                outputs=outputs,
                predecessors=tuple(before),
            )
        )
    return TaskGraph(
        name="drawn",
        machine="paper",
        tasks=tuple(tasks),
        groups=tuple(Group(f"g{group}", "map", PLATFORMS) for group in range(groups)),
        file_names=tuple(f"f{file}" for file in range(len(sizes))),
        file_bytes=tuple(sizes),
        assumptions=(),
    )
