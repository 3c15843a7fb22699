"""A workflow: a named graph of steps, each a map of independent tasks or one MPI program.

Plain values, made by `placement.workflow_file` from YAML and read by everything else.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal, Self

from placement.errors import UserError

type Platform = Literal["lambda", "ray", "hpc"]
type Kind = Literal["map", "mpi"]
type Objective = Literal["cost", "time"]
type Parameter = str | int | float | bool

# The order is also the last tie-break between placements that cost and take the same.
PLATFORMS: tuple[Platform, ...] = ("lambda", "ray", "hpc")


@dataclass(frozen=True, slots=True)
class InputRef:
    """What a step reads: the uploaded files of a role, or the output shards of another step."""

    source: Literal["upload", "step"]
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `upload.ROLE` or a step's name."""
        before, dot, role = text.partition(".")
        if dot and before == "upload":
            return cls("upload", role)
        return cls("step", text)

    def __str__(self) -> str:
        return f"upload.{self.name}" if self.source == "upload" else self.name


@dataclass(frozen=True, slots=True)
class Profile:
    """What a step needs on one reference core (defined in the platform book); None: not stated.

    MB is 10^6 bytes; "per MB" is per MB of input bytes as stored (compressed, if compressed).
    """

    cpu_s_per_task: float | None = None
    cpu_s_per_mb: float | None = None
    memory_mb: float | None = None
    memory_mb_per_mb: float | None = None
    disk_mb_per_mb: float | None = None
    output_mb_per_mb: float | None = None
    shards_per_mb: float | None = None
    fresh_start_s: float | None = None
    warm_start_s: float | None = None
    serial_fraction: float | None = None
    ranks_max: int | None = None


@dataclass(frozen=True, slots=True)
class Role:
    """One kind of uploaded file: the patterns of its file names (fnmatch, case-sensitive)."""

    name: str
    files: tuple[str, ...]
    optional: bool = False

    def matches(self, file_name: str) -> bool:
        """Whether a file name (without folders) belongs to this role."""
        return any(fnmatchcase(file_name, pattern) for pattern in self.files)


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `over` is what it maps over, `whole` what every task gets whole.

    A map step has either `run` ("module:function") or `command` (words); an MPI step has `run`
    ("module"). `platforms` are those that it may run on, in the order of `PLATFORMS`.
    """

    name: str
    kind: Kind
    run: str | None = None
    command: tuple[str, ...] = ()
    over: InputRef | None = None
    whole: tuple[InputRef, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = PLATFORMS
    output: str | None = None
    profile: Profile = field(default_factory=Profile)

    @property
    def inputs(self) -> tuple[InputRef, ...]:
        """Everything the step reads: what it maps over first, then the whole inputs in order."""
        return self.whole if self.over is None else (self.over, *self.whole)

    @property
    def predecessors(self) -> tuple[str, ...]:
        """Names of the steps whose output this one reads, sorted, each once."""
        return tuple(sorted({ref.name for ref in self.inputs if ref.source == "step"}))

    @property
    def output_suffix(self) -> str | None:
        """The stated suffix of a task's output file (".tsv.gz"), None where it is not stated."""
        return None if self.output is None else self.output[self.output.index(".") :]


@dataclass(frozen=True, slots=True)
class Score:
    """Which value of which step's result says how good the run's answer is."""

    step: str
    value: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A checked workflow; `steps` are in topological order, ties by name."""

    name: str
    steps: tuple[Step, ...]
    roles: tuple[Role, ...] = ()
    description: str = ""
    objective: Objective = "cost"
    deadline_s: float | None = None
    score: Score | None = None

    def step(self, name: str) -> Step:
        """Return the step of that name; UserError where there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        known = ", ".join(step.name for step in self.steps)
        raise UserError(f'workflow "{self.name}" has no step "{name}"; its steps are: {known}.')

    def successors(self, name: str) -> tuple[str, ...]:
        """Names of the steps that read this step's output, sorted."""
        return tuple(sorted(step.name for step in self.steps if name in step.predecessors))

    def assign(self, file_names: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Sort uploaded file names into roles, by each name's last component.

        Returns every role, with the names given to it in sorted order (an absent optional role
        has none). Raises UserError for a file of no role or of two, and for a role without files.
        """
        found: dict[str, list[str]] = {role.name: [] for role in self.roles}
        for name in sorted(file_names):
            base = name.rsplit("/", 1)[-1]
            fitting = [role.name for role in self.roles if role.matches(base)]
            if len(fitting) != 1:
                what = f"fits the inputs {' and '.join(fitting)}" if fitting else "fits no input"
                raise UserError(f'file "{base}" {what} of workflow "{self.name}"; {self._wants()}.')
            found[fitting[0]].append(name)
        for role in self.roles:
            if not found[role.name] and not role.optional:
                raise UserError(
                    f'workflow "{self.name}" was given no file for its input "{role.name}"; '
                    f"{self._wants()}."
                )
        return {name: tuple(names) for name, names in found.items()}

    def _wants(self) -> str:
        roles = "; ".join(f"{role.name}: {', '.join(role.files)}" for role in self.roles)
        return f"it takes {roles}" if roles else "it takes no files"


def topological_order(predecessors: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Order names so that each comes after its predecessors; among those ready, by name.

    Every predecessor must itself be a key. Kahn's algorithm (doi:10.1145/368996.369025),
    O((n + e) log n). Names on a cycle, or behind one, are left out: compare the lengths.
    """
    missing = {name: set(before) for name, before in predecessors.items()}
    after: dict[str, list[str]] = {name: [] for name in missing}
    for name, before in missing.items():
        for earlier in before:
            after[earlier].append(name)
    ready = [name for name, before in missing.items() if not before]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for later in after[name]:
            missing[later].discard(name)
            if not missing[later]:
                heapq.heappush(ready, later)
    return tuple(order)


def find_cycle(predecessors: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return one cycle in the direction of the data, first name repeated at the end; or ()."""
    ordered = set(topological_order(predecessors))
    left = {
        name: sorted(p for p in before if p not in ordered)
        for name, before in predecessors.items()
        if name not in ordered
    }
    if not left:
        return ()
    # Every name left has a predecessor that is left too, so walking backwards must come round.
    walked = [min(left)]
    while walked.count(walked[-1]) == 1:
        walked.append(left[walked[-1]][0])
    start = walked.index(walked[-1])
    backwards = walked[start:]
    return tuple(reversed(backwards))
