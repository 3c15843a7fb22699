"""What `trivium compare` is given: runs, reports, plans and graphs, told apart by content.

Nothing here waits for the planner: it is asked only where a workflow or trace file is among what
is compared, or what a run would have come to otherwise.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from placement.errors import UserError
from reporting.comparing.comparison_file import comparison_csv, comparison_file_json
from reporting.comparing.from_report import outcome_of_report
from reporting.comparing.outcome import Outcome
from reporting.comparing.page import comparison_page
from reporting.comparing.plan_file import is_plan, parse_plan
from reporting.comparing.terminal import compared_table
from reporting.report import Report
from trivium.console import out, print_json
from trivium.reports import read_report, sound_report
from trivium.target import Target
from trivium.wanted import Wanted
from trivium.writing import check_outputs, write_text

ALL_POLICIES = "trivium,static-ec2,all-lambda,mashup,heft"
_REPORT_FIELDS = {"run", "measured", "steps", "other_items"}
_SCHEDULE_FIELDS = {"tasks", "workers", "other", "graph"}
_FILE_ENDS = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Graph:
    """A file that is to be planned under one policy or several."""

    path: Path


@dataclass(frozen=True, slots=True)
class Run:
    """A run that took place, and what it came to."""

    report: Report
    outcome: Outcome


type Found = Outcome | Run | Graph


@dataclass(frozen=True, slots=True)
class Asking:
    """What is to be compared, and how the graphs or runs among it are to be planned.

    `policies` is None where none is named; `uploads` holds sizes in bytes by role.
    """

    found: tuple[Found, ...]
    policies: tuple[str, ...] | None
    wanted: Wanted
    uploads: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files to be written beside what is printed; None: not asked for."""

    html: Path | None
    csv: Path | None

    def check(self, sources: Sequence[str]) -> None:
        """Refuse what cannot be written. Raises UserError: one sentence."""
        check_outputs({"--html": self.html, "--csv": self.csv}, map(Path, sources))

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write what was asked for. Raises UserError: a file cannot be written."""
        if self.html is not None:
            write_text(self.html, comparison_page(outcomes))
        if self.csv is not None:
            write_text(self.csv, comparison_csv(outcomes))


def looked_up(words: Sequence[str], stack: str | None) -> tuple[Found, ...]:
    """Return what each word stands for: a file by its content, or else a run.

    Raises UserError, one sentence that names the word: no such file or run, a file of an older
    version, one that is neither a report nor a plan nor a graph.
    """
    target: Target | None = None
    found: list[Found] = []
    for word in words:
        if _is_file(word):
            found.append(_of_file(Path(word)))
            continue
        target = target or _target(word, stack)
        report, _ = read_report(target.stack, word)
        found.append(Run(report, outcome_of_report(report)))
    return tuple(found)


def compared(asking: Asking, files: Outputs, *, as_json: bool) -> int:
    """Print the comparison, and write its files; return the exit code, 1 where a plan is missing.

    Raises UserError, one sentence: there is nothing to stand beside, or an option for graphs
    where there is none.
    """
    graphs = [each for each in asking.found if isinstance(each, Graph)]
    runs = [each for each in asking.found if isinstance(each, Run)]
    if asking.policies and not (graphs or runs):
        raise UserError(
            "--policies is for runs, workflow and trace files, and none of these is one."
        )
    if asking.uploads and not graphs:
        raise UserError("--upload is for workflow and trace files, and none of these is one.")
    what_if = asking.policies if runs and not graphs else None
    if len(asking.found) > 1 or what_if:
        explained = files.html is not None
        outcomes = _outcomes(asking, what_if or (), explained=explained)
        return _print(_apart(outcomes), files, as_json=as_json)
    if not graphs:
        more = " or, of a run, --policies" if runs else ""
        raise UserError(
            f"One run or plan has nothing to stand beside; name another one with it{more}."
        )
    from trivium import plans  # noqa: PLC0415  (numba: seconds that runs and plans need not wait)

    source = plans.read(graphs[0].path, asking.uploads)
    policies = asking.policies or ALL_POLICIES.split(",")
    return plans.compare(source, asking.wanted, policies, files, as_json=as_json)


def _outcomes(asking: Asking, what_if: Sequence[str], *, explained: bool) -> list[Outcome]:
    """Return what was found, and what every policy comes to on every graph, or run, among it."""
    outcomes = []
    runs = [each for each in asking.found if isinstance(each, Run)]
    for each in asking.found:
        if isinstance(each, Outcome):
            outcomes.append(each)
            continue
        if isinstance(each, Run):
            outcomes.append(each.outcome)
            if what_if:
                from trivium import plans  # noqa: PLC0415  (see above)

                name = each.outcome.name if len(runs) > 1 else ""
                outcomes += plans.what_if(
                    each.report, name, asking.wanted, what_if, explained=explained
                )
            continue
        from trivium import plans  # noqa: PLC0415  (see above)

        source = plans.read(each.path, asking.uploads)
        policies = asking.policies or ("trivium",)
        outcomes += plans.outcomes_of(source, asking.wanted, policies, explained=explained)
    return outcomes


def _print(outcomes: Sequence[Outcome], files: Outputs, *, as_json: bool) -> int:
    if len(outcomes) < 2:  # noqa: PLR2004  (the policies that had no plan were told)
        return 1
    if as_json:
        print_json(comparison_file_json(outcomes))
    else:
        out.print(compared_table(outcomes))
    files.write(outcomes)
    return 0


def _is_file(word: str) -> bool:
    return Path(word).exists() or os.sep in word or word.lower().endswith(_FILE_ENDS)


def _target(word: str, stack: str | None) -> Target:
    try:
        return Target.choose(stack)
    except UserError as error:
        if stack is not None:
            raise
        raise UserError(
            f"{word} is no file, and no local stack is up that could know it as a run; start it "
            "with `trivium up`, or name one on AWS with --stack."
        ) from error


def _of_file(path: Path) -> Found:
    data = _json_of(path)
    if data is None:
        return Graph(path)
    if is_plan(data):
        return parse_plan(data, path.name)
    if set(data) >= _REPORT_FIELDS:
        report = sound_report(data, path.name)
        return Run(report, outcome_of_report(report, path.name))
    if set(data) >= _SCHEDULE_FIELDS:
        raise UserError(
            f"{path.name} is a schedule, not a plan; `trivium plan FILE --json` writes a plan."
        )
    if not {"workflow", "steps"} & set(data):
        raise UserError(
            f"{path.name} is neither a run's report nor a plan, a trace or a workflow file."
        )
    return Graph(path)


def _json_of(path: Path) -> dict[str, Any] | None:
    """Return a file's JSON object; None where it is none, and so a graph or a mistake."""
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _apart(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Count up what goes by the same name, so that a sentence can tell them apart."""
    names = Counter(each.name for each in outcomes)
    seen: Counter[str] = Counter()
    apart = []
    for each in outcomes:
        seen[each.name] += 1
        several = names[each.name] > 1
        name = f"{each.name} ({seen[each.name]})" if several else each.name
        apart.append(replace(each, name=name))
    return apart
