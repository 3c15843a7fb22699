"""A line per step while a run is under way: redrawn on a terminal, printed on change elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reporting.text import plain, seconds_text, usd_text

State = Literal["waiting", "running", "done", "failed"]
# Steps that somebody watches for come first where not all of them fit.
URGENCY: dict[State, int] = {"failed": 0, "running": 1, "waiting": 2, "done": 3}
STYLES: dict[State, str] = {
    "failed": "bold red",
    "running": "cyan",
    "waiting": "dim",
    "done": "green",
}


@dataclass(frozen=True)
class StepProgress:
    """Where one step stands; `platform` is platform and size in words, empty until placed."""

    step: str
    platform: str
    state: State
    done_tasks: int
    tasks: int
    elapsed_s: float
    usd: Decimal


def progress_line(state: StepProgress, name_width: int = 0, platform_width: int = 0) -> str:
    """One step on one line; the widths line several steps up."""
    name, platform, what, elapsed, usd = _cells(state)
    line = f"{name:<{name_width}}   {platform:<{platform_width}}   {what}"
    return line.rstrip() if state.state == "waiting" else f"{line}   {elapsed}   {usd}"


def progress_table(steps: Sequence[StepProgress], max_lines: int | None = None) -> RenderableType:
    """All steps, in their order, lined up; of too many, the most urgent and a count of the rest."""
    shown, hidden = _most_urgent(steps, max_lines)
    table = Table.grid(padding=(0, 3, 0, 0))
    # Where there is no room for all, names and places are cut, never how far a step is.
    table.add_column()
    table.add_column()
    for justify in ("left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    for step in shown:
        style = STYLES[step.state]
        name, platform, what, elapsed, usd = _cells(step)
        if step.state == "waiting":
            elapsed = usd = ""
        table.add_row(_cut(name), _cut(platform), Text(what, style=style), Text(elapsed), Text(usd))
    if hidden:
        table.add_row(Text(f"and {len(hidden)} more", style="dim"), "", Text(_tally(hidden)))
    return table


@contextmanager
def follow(console: Console) -> Iterator[Callable[[Sequence[StepProgress]], None]]:
    """Give a function that shows the steps as they are now.

    On a terminal the lines are redrawn in place. Elsewhere (a log, a pipe) a step's line is
    printed when its state, platform or number of finished tasks changed, not as time passes.
    """
    if not console.is_terminal:
        yield PlainProgress(lambda line: console.print(Text(line), soft_wrap=True)).show
        return
    with Live(console=console, auto_refresh=False) as live:

        def redraw(steps: Sequence[StepProgress]) -> None:
            live.update(progress_table(steps, max_lines=console.height - 1), refresh=True)

        yield redraw


class PlainProgress:
    """Prints a step's line when something about it changed that is not just time passing."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print_line = print_line
        self._seen: dict[str, tuple[State, str, int, int]] = {}

    def show(self, steps: Sequence[StepProgress]) -> None:
        """Print the lines of the steps that changed since the last call."""
        names = max((len(plain(step.step)) for step in steps), default=0)
        platforms = max((len(plain(step.platform)) for step in steps), default=0)
        for step in steps:
            now = (step.state, step.platform, step.done_tasks, step.tasks)
            if self._seen.get(step.step) != now:
                self._seen[step.step] = now
                self._print_line(progress_line(step, names, platforms))


def _cut(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def _cells(step: StepProgress) -> tuple[str, str, str, str, str]:
    what: str = step.state
    if step.tasks and step.state in ("running", "failed"):
        after = " after" if step.state == "failed" else ""
        what = f"{step.state}{after} {step.done_tasks:,} of {step.tasks:,}"
    elapsed = seconds_text(step.elapsed_s)
    return plain(step.step), plain(step.platform), what, elapsed, usd_text(step.usd)


def _most_urgent(
    steps: Sequence[StepProgress], max_lines: int | None
) -> tuple[list[StepProgress], list[StepProgress]]:
    if max_lines is None or len(steps) <= max_lines:
        return list(steps), []
    by_urgency = sorted(range(len(steps)), key=lambda index: (URGENCY[steps[index].state], index))
    kept = set(by_urgency[: max(max_lines - 1, 1)])
    shown = [step for index, step in enumerate(steps) if index in kept]
    return shown, [step for index, step in enumerate(steps) if index not in kept]


def _tally(steps: Sequence[StepProgress]) -> str:
    counts = {state: sum(step.state == state for step in steps) for state in URGENCY}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
