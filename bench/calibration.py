"""How far estimates are from what is measured, run by run, with a calibration after each.

    python -m bench.calibration [--runs N] [--replan]

The bundled reads go through the main job N times (4) on a local stack of its own, which is stopped
again. Each run is planned with what the runs before it have taught: nothing for the first, and
after one run still nothing, since one attempt may be an accident. Every step stays on the platform
of the first plan; with --replan it goes where the calibrated plan wants it, and one that moves has
no attempts there yet. An error is |estimate - measured| / measured of a step's time; printed is
each, and a run's median.
"""

import argparse
from statistics import median
from typing import Any

from placement.errors import UserError
from reporting.report import Report
from reporting.text import change_text, seconds_text
from trivium.calibrating import calibrate
from trivium.cli import own_stack, watch_run
from trivium.console import out, say
from trivium.demo import bundled_reads
from trivium.reports import read_report
from trivium.target import Target
from trivium.upload import upload

WORKFLOW = "read-clustering"


def step_errors(report: Report) -> dict[str, float]:
    """Return each step's error of the estimate of its time."""
    return {
        step.step: abs(step.estimate.seconds - step.measured.wall_s) / step.measured.wall_s
        for step in report.steps
        if step.estimate is not None and step.measured.wall_s > 0
    }


def show(number: int, report: Report) -> str:
    """Print one run's steps; return its line of the summary."""
    errors = step_errors(report)
    for step in report.steps:
        estimated_s = step.estimate.seconds if step.estimate else None
        measured_s = step.measured.wall_s
        out.print(
            f"run {number}  {step.step:<9} {step.platform:<7} estimate "
            f"{seconds_text(estimated_s):>7}  measured {seconds_text(measured_s):>7}  "
            f"error {errors.get(step.step, 0):7.1%}"
        )
    whole = report.estimate
    change = change_text(whole.seconds, report.measured.seconds) if whole else "-"
    return (
        f"run {number}: median error of a step {median(errors.values()):6.1%}; whole run {change}"
    )


def main() -> None:
    """Run, calibrate, run again, and print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--replan", action="store_true")
    arguments = parser.parse_args()
    options: dict[str, Any] = {}
    summary = []
    with own_stack() as stack:
        target = Target.local(stack)
        for number in range(1, arguments.runs + 1):
            name = upload(target, WORKFLOW, bundled_reads(), options)
            say(f"run {number} is {name}")
            if not watch_run(target.stack, name):
                raise UserError(f"The run {name} failed; no error can be told.")
            report, _ = read_report(target.stack, name)
            summary.append(show(number, report))
            if not arguments.replan:
                options = {"place": {step.step: step.platform for step in report.steps}}
            calibrate()
    for line in summary:
        out.print(line)


if __name__ == "__main__":
    main()
