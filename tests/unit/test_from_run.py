"""A run's measured task times and sizes as a task graph: every task by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from placement.books import default_books
from placement.engine.from_run import Done, Try, graph_of_run
from placement.errors import UserError
from placement.workflow import InputRef, Profile, Role, Step, Workflow

_, BOOK = default_books()
MB = 1_000_000
CUT = Step("cut", "map", "m:f", whole=(InputRef("upload", "reads"),), profile=Profile())
EACH = Step("each", "map", "m:f", over=InputRef("step", "cut"), profile=Profile(fresh_start_s=9))
SOLVE = Step(
    "solve",
    "mpi",
    "m",
    whole=(InputRef("step", "each"),),
    platforms=("hpc",),
    profile=Profile(serial_fraction=0.2, ranks_max=4, memory_mb=100),
)
WORKFLOW = Workflow("w", (CUT, EACH, SOLVE), (Role("reads", ("*",)),))
UPLOADS = {"reads": (30 * MB, 10 * MB)}
DONE = {
    "cut": Done(1, 60 * MB, 3, (Try("lambda", 8.0, memory_mb=1769),)),
    "each": Done(3, 30 * MB, 3, (Try("ray", 12.0),)),
    "solve": Done(1, 5 * MB, 2, (Try("hpc", 6.0, ranks=4),)),
}
TRACE_SPEED = BOOK.value("trace_core_speed")


def seconds(done: dict[str, Done], group: int) -> list[float]:
    graph = graph_of_run(WORKFLOW, UPLOADS, done, BOOK)
    return [task.runtime_s * TRACE_SPEED for task in graph.tasks if task.group == group]


def test_tasks_have_the_mean_of_their_steps_measured_time() -> None:
    assert seconds(DONE, 0) == [pytest.approx(8 * BOOK.value("lambda_core_speed"))]
    assert seconds(DONE, 1) == [pytest.approx(4 * BOOK.value("instance_core_speed"))] * 3


def test_a_small_function_was_slower_than_a_whole_core() -> None:
    half = Done(1, 60 * MB, 3, (Try("lambda", 8.0, memory_mb=885),))
    (task,) = seconds(DONE | {"cut": half}, 0)
    assert task == pytest.approx(8 * 885 / BOOK.value("lambda_mb_per_vcpu"))


def test_what_several_attempts_computed_adds_up() -> None:
    both = replace(DONE["each"], tries=(Try("ray", 3.0), Try("lambda", 9.0, memory_mb=1769)))
    assert seconds(DONE | {"each": both}, 1) == [pytest.approx(4.0)] * 3


def test_an_mpi_programs_time_is_that_of_its_ranks() -> None:
    """On four ranks 6 s, a fifth of the work serial: 15 s on one core, and 6 s on four again."""
    graph = graph_of_run(WORKFLOW, UPLOADS, DONE, BOOK)
    task = graph.tasks[-1]
    assert task.cores == 4
    assert task.runtime_s * TRACE_SPEED == pytest.approx(6.0)


def test_files_have_the_measured_sizes_and_the_uploads_their_own() -> None:
    graph = graph_of_run(WORKFLOW, UPLOADS, DONE, BOOK)
    sizes = dict(zip(graph.file_names, graph.file_bytes, strict=True))
    assert sizes["upload.reads/0"] == 30 * MB
    assert [sizes[f"cut/{i}"] for i in range(3)] == [20 * MB] * 3
    assert sum(sizes[f"solve/{i}"] for i in range(2)) == 5 * MB
    assert [len(task.inputs) for task in graph.tasks] == [2, 1, 1, 1, 3]


def test_every_assumption_is_labelled_a_what_if_or_stands_in_the_book() -> None:
    graph = graph_of_run(WORKFLOW, UPLOADS, DONE, BOOK)
    assert sum(said.startswith("what-if: ") for said in graph.assumptions) == 3
    assert any("core speeds" in said for said in graph.assumptions)


@pytest.mark.parametrize(
    ("done", "said"),
    [
        ({"cut": DONE["cut"]}, 'The workflow file of "w" has other steps than the run had'),
        (DONE | {"each": Done(2, MB, 2, ())}, 'Step "each" of the run had 2 tasks'),
        (DONE | {"each": Done(3, MB, 1, ())}, 'Step "each" of the run had 3 tasks and left 1'),
    ],
)
def test_a_run_of_another_workflow_is_refused(done: dict[str, Done], said: str) -> None:
    with pytest.raises(UserError, match=said):
        graph_of_run(WORKFLOW, UPLOADS, done, BOOK)
