"""How much every step has to do: tasks, megabytes in and out, and needs of one task.

Follows the data through the graph from the sizes of the uploaded files and the steps' profiles.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from placement.books import PlatformBook
from placement.errors import UserError
from placement.workflow import Step, Workflow

BYTES_PER_MB = 1_000_000

# Beyond these a workflow's profile or its input is not meant: an exabyte of output, and more
# shards in all than fit into the memory of the function that plans.
_MOST_OUTPUT_MB = 1e12
_MOST_SHARDS = 20_000_000

# Which of a map's shards, given their sizes, are its tasks: indices in rising order.
type Choose = Callable[[Sequence[float]], Sequence[int]]


@dataclass(frozen=True, slots=True)
class Needs:
    """A profile with every figure in place; `assumed` names those that the book supplied."""

    cpu_s_per_task: float
    cpu_s_per_mb: float
    memory_mb: float
    memory_mb_per_mb: float
    disk_mb_per_mb: float
    output_mb_per_mb: float
    fresh_start_s: float
    warm_start_s: float
    serial_fraction: float
    ranks_max: int | None
    assumed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What a step has to do. An MPI step, and a map over nothing, is one task.

    `over_mb` is what its tasks map over in all and `largest_mb` the largest share of one task;
    every task reads `whole_files` files of `whole_mb` besides.
    """

    tasks: int
    over_mb: float
    largest_mb: float
    whole_mb: float
    whole_files: int
    output_mb: float
    output_shards: int
    needs: Needs

    @property
    def task_mb(self) -> float:
        """MB that the mean task maps over."""
        return self.over_mb / self.tasks

    def cpu_s(self, over_mb: float) -> float:
        """Seconds of one reference core for a task that maps over so many MB."""
        return self.needs.cpu_s_per_task + self.needs.cpu_s_per_mb * (over_mb + self.whole_mb)

    @property
    def memory_bytes(self) -> float:
        """Peak memory of the largest task."""
        largest_mb = self.largest_mb + self.whole_mb
        return BYTES_PER_MB * (self.needs.memory_mb + self.needs.memory_mb_per_mb * largest_mb)

    @property
    def disk_bytes(self) -> float:
        """Disk that the largest task fills, inputs and output included."""
        return BYTES_PER_MB * self.needs.disk_mb_per_mb * (self.largest_mb + self.whole_mb)


def _all(sizes: Sequence[float]) -> Sequence[int]:
    return range(len(sizes))


def loads(
    workflow: Workflow,
    uploads: Mapping[str, tuple[int, ...]],
    book: PlatformBook,
    choose: Choose = _all,
) -> dict[str, Load]:
    """Return every step's load. `uploads` holds the files' sizes in bytes, by role.

    Outputs are taken to be spread evenly over a step's shards. `choose` says which shards a map
    takes; what follows reads the outputs of those alone.

    Raises UserError where a step would write more, or into more shards, than can be planned.
    """
    shards: dict[str, list[float]] = {}
    found: dict[str, Load] = {}
    for step in workflow.steps:
        files = {
            str(ref): (
                [size / BYTES_PER_MB for size in uploads.get(ref.name, ())]
                if ref.source == "upload"
                else shards[ref.name]
            )
            for ref in step.inputs
        }
        over = [] if step.over is None else files[str(step.over)]
        over = [over[index] for index in choose(over)]
        whole = [size for ref in step.whole for size in files[str(ref)]]
        most = _MOST_SHARDS - sum(map(len, shards.values()))
        load = _load(step, over, whole, needs(step, book), most)
        found[step.name] = load
        shards[step.name] = [load.output_mb / load.output_shards] * load.output_shards
    return found


def needs(step: Step, book: PlatformBook) -> Needs:
    """Return the step's profile with the book's labelled assumptions for what it leaves out."""
    profile, assumed = step.profile, []

    def stated(name: str) -> float:
        value: float | None = getattr(profile, name)
        if value is not None:
            return value
        assumed.append(name)
        return book.profile_default(name)

    fresh_start_s, output_mb_per_mb = stated("fresh_start_s"), stated("output_mb_per_mb")
    # Two figures follow from others where they are left out: warm caches help nothing, and the
    # disk holds the inputs and the output.
    warm_start_s, disk = profile.warm_start_s, profile.disk_mb_per_mb
    return Needs(
        cpu_s_per_task=stated("cpu_s_per_task"),
        cpu_s_per_mb=stated("cpu_s_per_mb"),
        memory_mb=stated("memory_mb"),
        memory_mb_per_mb=stated("memory_mb_per_mb"),
        disk_mb_per_mb=1 + output_mb_per_mb if disk is None else disk,
        output_mb_per_mb=output_mb_per_mb,
        fresh_start_s=fresh_start_s,
        warm_start_s=fresh_start_s if warm_start_s is None else warm_start_s,
        serial_fraction=stated("serial_fraction") if step.kind == "mpi" else 0.0,
        ranks_max=profile.ranks_max,
        assumed=tuple(sorted(assumed)),
    )


def _load(
    step: Step, over: list[float], whole: list[float], needed: Needs, most_shards: int
) -> Load:
    tasks = 1 if step.over is None else max(1, len(over))
    over_mb, whole_mb = math.fsum(over), math.fsum(whole)
    input_mb = over_mb + tasks * whole_mb
    output_mb = needed.output_mb_per_mb * input_mb
    wanted = (step.profile.shards_per_mb or 0) * input_mb
    if output_mb > _MOST_OUTPUT_MB or max(wanted, tasks) > most_shards:
        raise UserError(
            f'step "{step.name}" would read {input_mb:,.0f} MB in {tasks:,} '
            f"task{'' if tasks == 1 else 's'} and write {output_mb:.3g} MB in "
            f"{max(wanted, tasks):.3g} shards, too many to plan; lower shards_per_mb or "
            "output_mb_per_mb in the profiles, or upload less at once."
        )
    return Load(
        tasks=tasks,
        over_mb=over_mb,
        largest_mb=max(over, default=0.0),
        whole_mb=whole_mb,
        whole_files=len(whole),
        output_mb=output_mb,
        output_shards=max(tasks, _ceil(wanted)),
        needs=needed,
    )


def _ceil(value: float) -> int:
    # 0.1 shards per MB of 30 MB are 3 shards, not 4 for a rounding error in the last place.
    return math.ceil(Decimal(value).quantize(Decimal("1e-9")))
