"""`trivium plan`, `pareto` and `compare`: what they are given. `trivium.plans` does the work."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import typer

from placement.engine import quantities
from placement.errors import UserError
from trivium.console import AsJson

_POLICIES = "trivium,static-ec2,all-lambda,mashup,heft"

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


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan is to reach, as far as the command line says; None: it does not."""

    objective: Literal["cost", "time"] | None
    deadline_s: float | None
    budget_usd: Decimal | None
    seed: int


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
    upload: Upload = None,
    *,
    all_steps: Annotated[
        bool, typer.Option("--all-steps", help="Show the candidates of all steps, however many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find the best placement, say how good it can be at most, and why."""
    from trivium import plans  # noqa: PLC0415  (numba: seconds that other commands need not wait)

    wanted = _wanted(objective, deadline, budget, seed)
    plans.check_policies([policy])
    if schedule is not None:
        _check_output(schedule, file)
    source = plans.read(file, quantities.uploads(upload or []))
    raise typer.Exit(
        plans.plan(source, wanted, policy, schedule, all_steps=all_steps, as_json=as_json)
    )


def pareto(file: File, seed: Seed = 0, upload: Upload = None, *, as_json: AsJson = False) -> None:
    """Show what more time saves: plans from the fastest to the cheapest."""
    from trivium import plans  # noqa: PLC0415  (see above)

    source = plans.read(file, quantities.uploads(upload or []))
    raise typer.Exit(plans.pareto(source, seed, as_json=as_json))


def compare(
    file: File,
    policies: Annotated[
        str, typer.Option(help="Which, with commas between; the first is compared with the rest.")
    ] = _POLICIES,
    objective: Objective = None,
    deadline: Deadline = None,
    budget: Budget = None,
    seed: Seed = 0,
    upload: Upload = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare policies by the time and cost of their plans."""
    from trivium import plans  # noqa: PLC0415  (see above)

    names = list(dict.fromkeys(name.strip() for name in policies.split(",")))
    if "" in names:
        raise UserError(f'--policies takes names with commas between, not "{policies}".')
    wanted = _wanted(objective, deadline, budget, seed)
    plans.check_policies(names)
    source = plans.read(file, quantities.uploads(upload or []))
    raise typer.Exit(plans.compare(source, wanted, names, as_json=as_json))


def _check_output(path: Path, source: Path) -> None:
    """Refuse a file that cannot or must not be written, before anything is planned."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; --schedule takes the name of a file.")
    if path.resolve() == source.resolve():
        raise UserError(f"--schedule would overwrite {source}; give it another name.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"there is no folder {path.parent} for --schedule.")


def _wanted(
    objective: Literal["cost", "time"] | None, deadline: str | None, budget: str | None, seed: int
) -> Wanted:
    return Wanted(
        objective,
        None if deadline is None else quantities.duration_s(deadline, "--deadline"),
        None if budget is None else quantities.money_usd(budget, "--budget"),
        seed,
    )
