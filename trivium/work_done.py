"""What the steps of a run did, as far as its report tells: for placing them otherwise."""

from __future__ import annotations

from placement.engine.from_run import Done, Try
from placement.errors import UserError
from placement.workflow import Workflow
from reporting.report import Attempt, Report, Step


def work_done(report: Report, workflow: Workflow) -> dict[str, Done]:
    """Return what each step did and left, by name.

    Raises:
        UserError: a step is not done, or an older Trivium wrote the report.

    """
    kinds = {step.name: step.kind for step in workflow.steps}
    return {
        step.step: _done(report, step, mpi=kinds.get(step.step) == "mpi") for step in report.steps
    }


def _done(report: Report, step: Step, *, mpi: bool) -> Done:
    if any(attempt.task_s is None for attempt in step.attempts):
        raise UserError(
            f"The report of {report.run} tells no task times, because an older Trivium wrote it; "
            "run it again to ask what it would have taken otherwise."
        )
    if step.output is None or not step.attempts:
        raise UserError(
            f"The run {report.run} did not finish its step {step.step}, so nobody can say what it "
            "would have taken otherwise."
        )
    tries = tuple(_try(attempt, mpi=mpi) for attempt in step.attempts)
    return Done(step.tasks, step.output.bytes, step.output.shards, tries)


def _try(attempt: Attempt, *, mpi: bool) -> Try:
    size, task_s = attempt.size, attempt.task_s or 0.0
    if attempt.platform == "lambda":
        return Try(attempt.platform, task_s, memory_mb=int(size["memory_mb"]))
    return Try(attempt.platform, task_s, ranks=int(size["slots"]) if mpi else 1)
