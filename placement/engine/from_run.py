"""A run that took place to a `TaskGraph`: its measured task times and sizes, for other placements.

A step's tasks computed t_i seconds in all at place i, where a core has the speed v_i of reference
cores (`core_speed`). One of its n tasks then takes

    T = sum_i t_i * v_i / n

seconds on the reference core, and T / v anywhere else. An MPI program of R ranks, which shorten all
but a share s of it, took t on all of them, so T = t * v / (s + (1 - s) / R), by Amdahl's law
(doi:10.1145/1465482.1465560). Tasks of one step are taken to be alike, and their outputs too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from placement.books import PlatformBook
from placement.engine.from_workflow import graph_of_loads
from placement.engine.taskgraph import TaskGraph
from placement.errors import UserError
from placement.load import BYTES_PER_MB, Load, needs
from placement.workflow import Step, Workflow


@dataclass(frozen=True, slots=True)
class Try:
    """What a step's tasks computed (s) at one place, one after another.

    `memory_mb` is a function's memory on Lambda, and None elsewhere; `ranks` those of an MPI
    program, which computed side by side.
    """

    platform: str
    task_s: float
    memory_mb: int | None = None
    ranks: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """What a step of a run did and left."""

    tasks: int
    output_bytes: int
    output_shards: int
    tries: tuple[Try, ...]


def graph_of_run(
    workflow: Workflow,
    uploads: Mapping[str, tuple[int, ...]],
    done: Mapping[str, Done],
    book: PlatformBook,
) -> TaskGraph:
    """Return the tasks of a run as it was measured. `uploads`: the files' bytes, by role.

    Raises UserError, one sentence: the run had other steps than the workflow file has now, or
    other tasks than follow from the data.
    """
    if {step.name for step in workflow.steps} != set(done):
        raise UserError(
            f'The workflow file of "{workflow.name}" has other steps than the run had; it must be '
            "the one that was run."
        )
    sizes = {
        f"upload.{role}": (sum(files), len(files), max(files, default=0))
        for role, files in uploads.items()
    }
    work: dict[str, Load] = {}
    for step in workflow.steps:
        load = work[step.name] = _load(step, done[step.name], sizes, book)
        largest = round(load.output_mb * BYTES_PER_MB) // load.output_shards
        sizes[step.name] = (done[step.name].output_bytes, load.output_shards, largest)
    return graph_of_loads(workflow, uploads, work, book, _assumptions(book))


def core_speed(place: Try, book: PlatformBook) -> float:
    """Return what a core of a place is worth in reference cores."""
    if place.memory_mb is None:
        return book.value("instance_core_speed")
    share = min(1.0, place.memory_mb / book.value("lambda_mb_per_vcpu"))
    return book.value("lambda_core_speed") * share


def _load(
    step: Step, done: Done, sizes: Mapping[str, tuple[int, int, int]], book: PlatformBook
) -> Load:
    nothing = (0, 0, 0)
    over = nothing if step.over is None else sizes.get(str(step.over), nothing)
    whole = [sizes.get(str(ref), nothing) for ref in step.whole]
    tasks = 1 if step.over is None else max(1, over[1])
    if tasks != done.tasks or done.output_shards < tasks:
        raise UserError(
            f'Step "{step.name}" of the run had {done.tasks:,} tasks and left '
            f"{done.output_shards:,} shards; its inputs and its workflow file make {tasks:,} tasks."
        )
    profile = needs(step, book)
    seconds = math.fsum(
        each.task_s * core_speed(each, book) / _share(profile.serial_fraction, each.ranks)
        for each in done.tries
    )
    measured = replace(
        profile, cpu_s_per_task=seconds / tasks, cpu_s_per_mb=0.0, fresh_start_s=0, warm_start_s=0
    )
    return Load(
        tasks=tasks,
        over_mb=over[0] / BYTES_PER_MB,
        largest_mb=over[2] / BYTES_PER_MB,
        whole_mb=sum(total for total, _, _ in whole) / BYTES_PER_MB,
        whole_files=sum(count for _, count, _ in whole),
        output_mb=done.output_bytes / BYTES_PER_MB,
        output_shards=done.output_shards,
        needs=measured,
    )


def _share(serial_fraction: float, ranks: int) -> float:
    return serial_fraction + (1 - serial_fraction) / ranks


def _assumptions(book: PlatformBook) -> tuple[str, ...]:
    per_vcpu = book.value("lambda_mb_per_vcpu")
    alike = "what-if: task times and data sizes are the run's own, all tasks of a step alike"
    speeds = (
        "what-if: a task's time elsewhere is its measured time times the ratio of the book's core "
        f"speeds; a function has a whole core from {per_vcpu:g} MB on"
    )
    between = (
        "what-if: start-up, waiting and moving files are by the books, with nodes that are "
        "launched and released during the run"
    )
    return (alike, speeds, between)
