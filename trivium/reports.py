"""Reports of runs: from a stack by the run's id, or from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from control.stack import Stack
from placement.errors import UserError
from reporting.report import Report, TotalsError, check_totals, parse_report
from runtime.keys import RunKeys
from trivium.watching import Watch


def read_report(stack: Stack, name: str) -> tuple[Report, dict[str, Any]]:
    """Return a run's report, typed and as it is stored.

    Raises:
        UserError: there is no such run, or it has not ended.

    """
    raw = stack.store.find(RunKeys(name).report_json)
    if raw is None:
        status = Watch(stack, name).item()["status"]
        raise UserError(f"The run {name} is {status} and has no report yet; watch it first.")
    return parse_report(raw), raw


def read_report_file(path: Path) -> Report:
    """Return a report from a file.

    Raises:
        UserError: it cannot be read, is no report of this version, or does not add up.

    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no report.json: it is no JSON.") from error
    return sound_report(raw, str(path))


def sound_report(raw: Any, name: str) -> Report:
    """Return the report that a file of this name holds.

    Raises:
        UserError: it is no report of this version, or does not add up.

    """
    try:
        report = parse_report(raw)
        check_totals(report)
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    except TotalsError as error:
        raise UserError(f"{name} is no sound report: {error}.") from error
    return report
