import io
from dataclasses import replace
from decimal import Decimal

import pytest
from rich.console import Console

from reporting.live import PlainProgress, StepProgress, follow, progress_line, progress_table
from tests.unit.shown import shown

RUNNING = StepProgress("quality", "lambda 1024 MB", "running", 3, 8, 4.2, Decimal("0.000123"))
WAITING = StepProgress("sketch", "", "waiting", 0, 0, 0.0, Decimal(0))
DONE = replace(RUNNING, step="cut", state="done", done_tasks=8)
FAILED = replace(RUNNING, step="spectral", platform="hpc 2 nodes", state="failed")


def drawn(steps: list[StepProgress], width: int = 80, max_lines: int | None = None) -> list[str]:
    return shown(progress_table(steps, max_lines), width).splitlines()


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (RUNNING, "quality   lambda 1024 MB   running 3 of 8   4.2 s   $0.000123"),
        (DONE, "cut   lambda 1024 MB   done   4.2 s   $0.000123"),
        (FAILED, "spectral   hpc 2 nodes   failed after 3 of 8   4.2 s   $0.000123"),
        (WAITING, "sketch      waiting"),
    ],
)
def test_a_line_says_step_platform_state_time_and_money(step: StepProgress, line: str) -> None:
    assert progress_line(step) == line


def test_lines_line_up_by_the_given_widths() -> None:
    assert progress_line(RUNNING, 10, 20).startswith("quality      lambda 1024 MB         running")


def test_the_table_has_a_line_per_step_in_their_order() -> None:
    assert drawn([DONE, RUNNING, WAITING]) == [
        "cut       lambda 1024 MB   done             4.2 s   $0.000123",
        "quality   lambda 1024 MB   running 3 of 8   4.2 s   $0.000123",
        "sketch                     waiting",
    ]


def test_the_table_never_wraps() -> None:
    assert len(drawn([replace(RUNNING, step="s" * 200)], width=60)) == 1


def test_where_room_is_short_places_are_cut_and_not_how_far_a_step_is() -> None:
    (line,) = drawn([replace(RUNNING, platform="hpc c5n.9xlarge, 2 slots, warm " * 3)])
    assert "\N{HORIZONTAL ELLIPSIS}" in line
    assert "running 3 of 8" in line
    assert line.endswith("4.2 s   $0.000123")


def test_of_too_many_steps_the_urgent_ones_are_shown_and_the_rest_counted() -> None:
    steps = [replace(DONE, step=f"done-{index}") for index in range(40)]
    lines = drawn([*steps, RUNNING, FAILED, WAITING], max_lines=4)
    assert [line.split()[0] for line in lines] == ["quality", "spectral", "sketch", "and"]
    assert lines[-1].startswith("and 40 more")
    assert lines[-1].endswith("40 done")


def test_control_characters_and_markup_in_names_do_nothing() -> None:
    (line,) = drawn([replace(RUNNING, step="\x1b[2J[bold]x[/bold]")])
    assert "\x1b" not in line
    assert "[bold]x[/bold]" in line


def test_plain_progress_prints_only_what_changed() -> None:
    lines: list[str] = []
    progress = PlainProgress(lines.append)
    progress.show([RUNNING, WAITING])
    progress.show([replace(RUNNING, elapsed_s=5.0, usd=Decimal("0.0002")), WAITING])
    assert len(lines) == 2
    progress.show([replace(RUNNING, done_tasks=4), WAITING])
    progress.show([replace(RUNNING, done_tasks=4), replace(WAITING, platform="ray")])
    assert [line.split()[0] for line in lines[2:]] == ["quality", "sketch"]


def test_follow_prints_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with follow(Console(file=out, width=40)) as show:
        show([RUNNING])
        show([RUNNING])
    assert out.getvalue() == progress_line(RUNNING) + "\n"


def test_follow_redraws_in_place_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=10, legacy_windows=False)
    with follow(console) as show:
        show([WAITING])
        show([RUNNING])
    assert "\x1b[2K" in out.getvalue()
    assert "running 3 of 8" in out.getvalue()
