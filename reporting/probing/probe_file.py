"""A probe as JSON, with its published JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from placement.account import decimal_text
from reporting.probing.result import MeasuredShard, ProbeResult, whole_compute_s
from reporting.report import (
    Amount,
    Attempt,
    Book,
    Count,
    Item,
    Machine,
    Name,
    Rejected,
    Seconds,
    SharedItem,
    Usd,
)
from reporting.schema import published_schema

_AS_REPORTED = (
    *("run", "workflow", "status", "reason", "estimate", "measured"),
    *("shared_items", "other_items", "not_known", "books", "machine"),
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ProbedShardFile(_Part):
    """One shard on one place: bytes in (whole inputs included) and out, and its seconds."""

    input_bytes: Count
    output_bytes: Count
    startup_s: Seconds
    transfer_s: Seconds
    compute_s: Seconds


class ProbedPlaceFile(_Part):
    """One attempt at a step's shards on one place: its whole record, and each shard."""

    place: Name
    record: Attempt
    shards: tuple[ProbedShardFile, ...]


class ProbedStepFile(_Part):
    """One step on all its places; `whole_per_sample` says how many times the shards there is."""

    step: Name
    whole_per_sample: Seconds
    places: tuple[ProbedPlaceFile, ...]
    left_out: tuple[Rejected, ...]


class WholeFile(_Part):
    """What computing all of the input would take on one place, one task after another."""

    place: Name
    compute_s: Seconds


class ProbeFile(_Part):
    """What `trivium probe --json` prints: the attempts, shared and other items make `measured`."""

    version: Literal[1]
    run: Name
    workflow: Name
    status: Literal["succeeded", "failed"]
    reason: str | None
    shards: Count
    budget_usd: Usd
    estimate: Amount | None
    measured: Amount
    steps: tuple[ProbedStepFile, ...]
    shared_items: tuple[SharedItem, ...]
    other_items: tuple[Item, ...]
    not_known: tuple[Name, ...]
    whole: tuple[WholeFile, ...]
    books: tuple[Book, ...]
    machine: Machine


def probe_file_json(result: ProbeResult, report: Mapping[str, Any]) -> dict[str, Any]:
    """Write a probe that has ended; `report` is its report as it is stored."""
    of_steps = {step["step"]: step for step in report["steps"]}
    whole = whole_compute_s(result)
    return {name: report[name] for name in _AS_REPORTED} | {
        "version": 1,
        "shards": result.shards,
        "budget_usd": decimal_text(result.budget_usd),
        "steps": [
            {
                "step": step.step,
                "whole_per_sample": result.whole[step.step],
                "places": [
                    {"place": place.name, "record": record, "shards": [*map(_shard, place.shards)]}
                    for place, record in zip(
                        result.places_of(step), of_steps[step.step]["attempts"], strict=True
                    )
                ],
                "left_out": of_steps[step.step]["rejected"],
            }
            for step in result.report.steps
        ],
        "whole": [{"place": place, "compute_s": round(seconds, 3)} for place, seconds in whole],
    }


def probe_schema_text() -> str:
    """Write the JSON Schema as it is published in `reporting/probe.schema.json`."""
    return published_schema(ProbeFile)


def _shard(shard: MeasuredShard) -> dict[str, Any]:
    return dict(vars(shard))
