"""How large the page of a run of 100,000 tasks is, and how long a browser takes to show it.

    python -m bench.report_page [--runs N]

Four steps of 25,000 tasks each, done by 1,000 workers in 100 stretches each: more than a run keeps
of its timeline. Headless Chromium loads the page and draws it to a picture; a page with one word
takes it what starting takes, and is taken off. Wanted are 10 MB and 3 s at most.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from bench.peers import Result, in_turn, middle, write
from reporting.html import render
from reporting.report import parse_report
from tests.unit.test_reporting_output import many

STEPS, TASKS_PER_STEP, WORKERS, STRETCHES = 4, 25_000, 1_000, 100


def drawn_s(browser: str, page: Path) -> float:
    """Return how long a browser takes from its start to a picture of the page."""
    begun_s = time.perf_counter()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,9000"]
        words += [f"--user-data-dir={folder}/profile", f"--screenshot={folder}/page.png"]
        subprocess.run([*words, page.as_uri()], check=True, capture_output=True, timeout=120)
    return time.perf_counter() - begun_s


def main() -> None:
    """Read the command line, measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("There is no Chromium on PATH; on Debian: apt-get install chromium")
    data = many(STEPS, WORKERS, STRETCHES)
    for step in data["steps"]:
        step["tasks"] = TASKS_PER_STEP
    with tempfile.TemporaryDirectory() as folder:
        page, empty = Path(folder) / "page.html", Path(folder) / "empty.html"
        page.write_text(render(parse_report(data)))
        empty.write_text("<!doctype html><title>empty</title>empty")
        megabytes = page.stat().st_size / 1e6
        found = in_turn(
            runs, page=lambda: drawn_s(browser, page), empty=lambda: drawn_s(browser, empty)
        )
    both_s, empty_s = middle(found["page"]), middle(found["empty"])
    shown_s = both_s - empty_s
    write(
        [
            Result("report_page_mb", megabytes, 10, megabytes / 10, 1, "MB", at_most=True),
            Result("report_page_s", shown_s, 3, shown_s / 3, 1, "s", at_most=True),
        ],
        found,
    )


if __name__ == "__main__":
    main()
