"""A Trivium workflow and the sizes of its uploads to a `TaskGraph`, by the steps' profiles.

One task per shard, as `placement.load` counts them. Nothing has run yet: a step's output is spread
evenly over its shards, and files have made-up names, `upload.ROLE/0` and `STEP/0` and so on.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from placement.books import PlatformBook
from placement.engine.taskgraph import Group, Task, TaskGraph
from placement.engine.wfformat import speeds
from placement.errors import UserError
from placement.load import BYTES_PER_MB, Load, loads, needs
from placement.workflow import InputRef, Step, Workflow

MACHINE = "the reference core of the books"

# What tasks name in all, files and predecessors: beyond that a graph does not fit into memory.
_MOST_NAMED = 20_000_000
_NAMES_SHOWN = 4
_BYTES_PER_MIB = 1 << 20
_BYTES_PER_GIB = 1 << 30


def graph_of_workflow(
    workflow: Workflow, uploads: Mapping[str, tuple[int, ...]], book: PlatformBook
) -> TaskGraph:
    """Return the task graph. `uploads` holds the files' sizes in bytes, by role.

    Raises UserError where a role that is needed has no upload, where an upload has no such role,
    and where the graph would be too large.
    """
    _check_uploads(workflow, uploads)
    _check_size(workflow, uploads, book)
    work = loads(workflow, uploads, book)
    said = (*_profile_assumptions(work, book), *_assumptions(workflow, work))
    return graph_of_loads(workflow, uploads, work, book, said)


def graph_of_loads(
    workflow: Workflow,
    uploads: Mapping[str, tuple[int, ...]],
    work: Mapping[str, Load],
    book: PlatformBook,
    assumptions: Sequence[str],
) -> TaskGraph:
    """Return the task graph of steps with these loads; each step's tasks are alike."""
    files = _upload_files(workflow, uploads)
    tasks: list[Task] = []
    ranks: dict[str, int] = {}
    for number, step in enumerate(workflow.steps):
        load = work[step.name]
        files[step.name] = _output_files(step.name, load, sum(map(len, files.values())), len(tasks))
        if step.kind == "mpi":
            ranks[step.name] = _ranks(load, book)
        tasks += _tasks(step, number, load, files, ranks.get(step.name, 1), book)
    every = [file for each in files.values() for file in each]
    return TaskGraph(
        name=workflow.name,
        machine=MACHINE,
        tasks=tuple(tasks),
        groups=tuple(Group(step.name, step.kind, step.platforms) for step in workflow.steps),
        file_names=tuple(file.name for file in every),
        file_bytes=tuple(file.size for file in every),
        assumptions=(
            *speeds(book),
            *assumptions,
            *_rank_assumptions(work, ranks),
        ),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A file, and the position of the task that makes it; None for an upload."""

    position: int
    name: str
    size: int
    maker: int | None


def _check_uploads(workflow: Workflow, uploads: Mapping[str, tuple[int, ...]]) -> None:
    roles = [role.name for role in workflow.roles]
    for name in sorted(uploads):
        if name not in roles:
            has = f"its inputs are {', '.join(roles)}" if roles else "it takes no files"
            raise UserError(f'workflow "{workflow.name}" has no input "{name}"; {has}.')
    for role in workflow.roles:
        if not role.optional and not uploads.get(role.name):
            raise UserError(
                f'how large is the input "{role.name}" of workflow "{workflow.name}"? '
                f"Give --upload {role.name}=SIZE, for example --upload {role.name}=2GB."
            )


def _check_size(
    workflow: Workflow, uploads: Mapping[str, tuple[int, ...]], book: PlatformBook
) -> None:
    """Refuse a graph that would not fit into memory, before anything lists its files."""
    amounts = {
        str(InputRef("upload", role)): (math.fsum(sizes) / BYTES_PER_MB, len(sizes))
        for role, sizes in uploads.items()
    }
    nothing, named = (0.0, 0), 0.0
    for step in workflow.steps:
        over_mb, tasks = (0.0, 1) if step.over is None else amounts.get(str(step.over), nothing)
        whole = [amounts.get(str(ref), nothing) for ref in step.whole]
        input_mb = over_mb + tasks * math.fsum(mb for mb, _ in whole)
        shards = max(tasks, int((step.profile.shards_per_mb or 0) * input_mb))
        amounts[step.name] = (needs(step, book).output_mb_per_mb * input_mb, shards)
        # Every whole file comes with at most one task that makes it.
        named += tasks * (3 + 2 * sum(files for _, files in whole)) + shards
        if named > _MOST_NAMED:
            raise UserError(
                f'step "{step.name}" of workflow "{workflow.name}" would have {tasks:,} '
                f"task{'' if tasks == 1 else 's'} and {shards:,} output shards, too many to plan "
                "one by one; give smaller uploads or lower shards_per_mb."
            )


def _upload_files(
    workflow: Workflow, uploads: Mapping[str, tuple[int, ...]]
) -> dict[str, list[_File]]:
    """Return the uploaded files by the text of their references."""
    files: dict[str, list[_File]] = {}
    position = 0
    for role in workflow.roles:
        ref = str(InputRef("upload", role.name))
        sizes = uploads.get(role.name, ())
        files[ref] = [_File(position + i, f"{ref}/{i}", size, None) for i, size in enumerate(sizes)]
        position += len(sizes)
    return files


def _output_files(name: str, load: Load, position: int, first_task: int) -> list[_File]:
    """Return the output shards of a step, dealt evenly to its tasks in their order."""
    total, shards = round(load.output_mb * BYTES_PER_MB), load.output_shards
    # From sum to sum, so that the sizes differ by a byte at most and add up.
    sums = [total * i // shards for i in range(shards + 1)]
    return [
        _File(
            position + i,
            f"{name}/{i}",
            sums[i + 1] - sums[i],
            first_task + i * load.tasks // shards,
        )
        for i in range(shards)
    ]


def _tasks(
    step: Step,
    number: int,
    load: Load,
    files: Mapping[str, Sequence[_File]],
    ranks: int,
    book: PlatformBook,
) -> Iterable[Task]:
    """Yield a step's tasks: one per file that it maps over, or one."""
    over: Sequence[_File | None] = [None] if step.over is None else files[str(step.over)] or [None]
    whole = [file for ref in step.whole for file in files[str(ref)]]
    whole_inputs, whole_makers = tuple(file.position for file in whole), _makers(whole)
    made = [tuple(group) for _, group in groupby(files[step.name], key=lambda file: file.maker)]
    for i, (shard, outputs) in enumerate(zip(over, made, strict=True)):
        over_mb = 0.0 if shard is None else shard.size / BYTES_PER_MB
        yield Task(
            id=f"{step.name}/{i}",
            group=number,
            runtime_s=_runtime_s(load, over_mb, ranks, book),
            cores=ranks,
            memory_bytes=_memory_bytes(load, over_mb),
            inputs=whole_inputs if shard is None else (shard.position, *whole_inputs),
            outputs=tuple(file.position for file in outputs),
            predecessors=whole_makers if shard is None else _makers([shard, *whole]),
        )


def _makers(files: Iterable[_File]) -> tuple[int, ...]:
    """Return the tasks that make these files, in order."""
    return tuple(sorted({file.maker for file in files if file.maker is not None}))


def _runtime_s(load: Load, over_mb: float, ranks: int, book: PlatformBook) -> float:
    """Return a task's seconds on `ranks` cores, by Amdahl's law (doi:10.1145/1465482.1465560).

    Profiles are of the reference core, and the graph's runtimes are turned into reference seconds
    by `trace_core_speed` later: it is taken out here.
    """
    serial = load.needs.serial_fraction
    share = serial + (1 - serial) / ranks
    seconds = load.needs.warm_start_s + load.cpu_s(over_mb) * share
    return seconds / book.value("trace_core_speed")


def _memory_bytes(load: Load, over_mb: float) -> int:
    more_mb = load.needs.memory_mb_per_mb * (over_mb + load.whole_mb)
    return math.ceil(BYTES_PER_MB * (load.needs.memory_mb + more_mb))


def _ranks(load: Load, book: PlatformBook) -> int:
    """Return the ranks of an MPI task, which runs on one node.

    Of the vCPU counts of the MPI queue's types that have the memory, the smallest with which it
    takes little longer (`mpi_longer`) than with the largest; never more than `ranks_max`.
    """
    types = [book.instance(name) for name in book.hpc_types]
    reserved = book.value("node_reserved_mb") * _BYTES_PER_MIB
    fitting = [
        each for each in types if each.memory_gib * _BYTES_PER_GIB - reserved >= load.memory_bytes
    ]
    most = load.needs.ranks_max or math.inf
    counts = sorted({int(min(each.vcpu, most)) for each in fitting or types})
    limit_s = _runtime_s(load, 0.0, counts[-1], book) * (1 + book.value("mpi_longer"))
    return next(count for count in counts if _runtime_s(load, 0.0, count, book) <= limit_s)


def _profile_assumptions(work: Mapping[str, Load], book: PlatformBook) -> list[str]:
    """Say which figures of profiles are missing, and in which steps."""
    steps: dict[str, list[str]] = {}
    for name, load in work.items():
        for figure in load.needs.assumed:
            steps.setdefault(figure, []).append(name)
    return [
        f"{figure} is missing in the profile of {_listed(names, len(work))}: "
        f"{book.profile_default(figure):g} "
        f"{book.profile_defaults[figure].unit} is assumed (profile_defaults)"
        for figure, names in sorted(steps.items())
    ]


def _listed(names: Sequence[str], of: int) -> str:
    return ", ".join(names) if len(names) <= _NAMES_SHOWN else f"{len(names)} of {of} steps"


def _assumptions(workflow: Workflow, work: Mapping[str, Load]) -> list[str]:
    said = ["the output of a step is spread evenly over its shards"]
    if any(load.needs.warm_start_s for load in work.values()):
        said.append(
            "every task takes the warm_start_s of its step once; what fresh_start_s is longer is "
            "left out"
        )
    stated = [step.name for step in workflow.steps if step.profile.disk_mb_per_mb is not None]
    if stated:
        said.append(
            f"disk_mb_per_mb of {_listed(stated, len(work))} is not used: "
            "a task's disk holds its inputs and outputs"
        )
    return said


def _rank_assumptions(work: Mapping[str, Load], ranks: Mapping[str, int]) -> list[str]:
    return [
        f"{name} runs on {count:,} ranks of one node, "
        f"with {work[name].needs.serial_fraction:g} of its work not shortened by them"
        for name, count in ranks.items()
    ]
