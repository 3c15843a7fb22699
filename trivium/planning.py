"""`trivium plan`, `pareto` and `compare`: what they are given. `trivium.plans` does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from placement.engine import quantities
from placement.errors import UserError
from trivium.comparing import ALL_POLICIES, Asking, Outputs, compared, looked_up
from trivium.console import AsJson
from trivium.target import StackName
from trivium.wanted import Wanted
from trivium.writing import check_outputs

File = Annotated[Path, typer.Argument(help="A workflow file, or a trace in WfFormat 1.5.")]
Objective = Annotated[
    Literal["cost", "time"] | None,
    typer.Option(help="What is to be least; without, cost, but time where there is a --budget."),
]
Deadline = Annotated[
    str | None, typer.Option(help="What the run may take: 90m, 1.5h, 5400s or seconds.")
]
Budget = Annotated[str | None, typer.Option(help="What the run may cost, in USD.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same plan.", min=0)]
Upload = Annotated[
    list[str] | None,
    typer.Option(help="ROLE=SIZE, such as reads=2GB: an uploaded file of a workflow file."),
]
Thorough = Annotated[
    bool,
    typer.Option("--thorough", help="Search on while plans get cheaper: minutes, not seconds."),
]
PlanHtml = Annotated[Path | None, typer.Option("--html", help="Write a page with all of it here.")]


def plan(
    file: File,
    objective: Objective = None,
    deadline: Deadline = None,
    budget: Budget = None,
    policy: Annotated[
        str, typer.Option(help="trivium, static-ec2[:TYPE:N], all-lambda, mashup, heft")
    ] = "trivium",
    seed: Seed = 0,
    schedule: Annotated[
        Path | None, typer.Option(help="Write every task, worker and item here, as JSON.")
    ] = None,
    html: PlanHtml = None,
    upload: Upload = None,
    *,
    thorough: Thorough = False,
    all_steps: Annotated[
        bool, typer.Option("--all-steps", help="Show the candidates of all steps, however many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the best placement, say how good it can be at most, and why."""
    from trivium import plans  # noqa: PLC0415  (numba: seconds that other commands need not wait)

    wanted = _wanted(objective, deadline, budget, seed, thorough=thorough)
    plans.check_policies([policy])
    check_outputs({"--schedule": schedule, "--html": html}, [file])
    source = plans.read(file, quantities.uploads(upload or []))
    files = plans.PlanFiles(schedule, html)
    raise typer.Exit(
        plans.plan(source, wanted, policy, files, all_steps=all_steps, as_json=as_json)
    )


def pareto(
    file: File,
    seed: Seed = 0,
    html: PlanHtml = None,
    upload: Upload = None,
    *,
    thorough: Thorough = False,
    as_json: AsJson = False,
) -> None:
    """Show what more time saves: plans from the fastest to the cheapest."""
    from trivium import plans  # noqa: PLC0415  (see above)

    check_outputs({"--html": html}, [file])
    source = plans.read(file, quantities.uploads(upload or []))
    raise typer.Exit(plans.pareto(source, seed, html, thorough=thorough, as_json=as_json))


def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Runs, report.json files, plans (`trivium plan --json`), workflow and trace "
            "files; the first is what all others stand beside. One workflow or trace file alone: "
            "policies on it."
        ),
    ],
    policies: Annotated[
        str | None,
        typer.Option(
            help="Which, with commas between: of runs, what they would have come to otherwise; of "
            "workflow and trace files, which to plan them under (without: trivium, and of one file "
            f"alone {ALL_POLICIES})."
        ),
    ] = None,
    objective: Objective = None,
    deadline: Deadline = None,
    budget: Budget = None,
    seed: Seed = 0,
    upload: Upload = None,
    html: PlanHtml = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write every line of every account here.")
    ] = None,
    stack: StackName = None,
    *,
    thorough: Thorough = False,
    as_json: AsJson = False,
) -> None:
    """Compare runs, plans and policies by time and cost, and say what makes the difference."""
    names = None if policies is None else tuple(_policy_names(policies))
    wanted, files = (
        _wanted(objective, deadline, budget, seed, thorough=thorough),
        Outputs(html, csv),
    )
    files.check(what)
    if names is not None:
        from trivium import plans  # noqa: PLC0415  (see above)

        plans.check_policies(names)
    found = looked_up(what, stack)
    sizes = quantities.uploads(upload or [])
    raise typer.Exit(compared(Asking(found, names, wanted, sizes), files, as_json=as_json))


def _policy_names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if "" in names:
        raise UserError(f'--policies takes names with commas between, not "{text}".')
    return names


def _wanted(
    objective: Literal["cost", "time"] | None,
    deadline: str | None,
    budget: str | None,
    seed: int,
    *,
    thorough: bool,
) -> Wanted:
    return Wanted(
        objective,
        None if deadline is None else quantities.duration_s(deadline, "--deadline"),
        None if budget is None else quantities.money_usd(budget, "--budget"),
        seed,
        thorough,
    )
