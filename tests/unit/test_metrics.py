"""The metrics say what the ledger says, under few names; the dashboard asks for what they are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from control.metrics import emit_attempts
from placement.account import Item
from placement.walltime import WallTime
from tests.attempts import an_attempt, settled

TEMPLATE = Path(__file__).parent.parent.parent / "template.yaml"
LINE = {"what": "w", "quantity": "2", "unit": "u", "unit_usd": "0.125", "usd": "0.25"}


@pytest.fixture
def emitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, Any]]:
    monkeypatch.setenv("TRIVIUM_STACK", "mine")
    attempts = [
        settled(
            an_attempt("r-1", "words", number, platform=platform, queued_s=100.0),
            outcome,  # type: ignore[arg-type]
            started_s=101.0,
            ended_s=112.5,
            wall=WallTime(1, 2, 3, 6.5),
            items=(Item.from_json(LINE),),
        )
        for number, (platform, outcome) in enumerate([("ray", "replaced"), ("lambda", "failed")], 1)
    ]
    emit_attempts("word-count", [*attempts, an_attempt("r-1", "words", 3)])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_settled_attempt_is_a_line_with_its_figures(emitted: list[dict[str, Any]]) -> None:
    first, second = emitted
    assert (first["AttemptSeconds"], first["AttemptUsd"]) == ([12.5], [0.25])
    assert (first["Failed"], first["Replaced"]) == ([0], [1])
    assert (second["Failed"], second["Replaced"], second["platform"]) == ([1], [0], "lambda")


def test_a_run_makes_no_metric_of_its_own(emitted: list[dict[str, Any]]) -> None:
    for line in emitted:
        [described] = line["_aws"]["CloudWatchMetrics"]
        [dimensions] = described["Dimensions"]
        assert set(dimensions) == {"stack", "workflow", "step", "platform", "service"}
        assert (described["Namespace"], line["run"], line["stack"]) == ("Trivium", "r-1", "mine")


class _Tags(yaml.SafeLoader):
    """Reads the template's own tags as what stands behind them."""


_Tags.add_multi_constructor("!", lambda _loader, _suffix, node: node.value)


def test_the_dashboard_is_json_and_asks_for_the_metrics_that_there_are(
    emitted: list[dict[str, Any]],
) -> None:
    body = yaml.load(TEMPLATE.read_text(), _Tags)["Resources"]["Dashboard"]["Properties"]  # noqa: S506
    widgets = json.loads(body["DashboardBody"])["widgets"]
    [described] = emitted[0]["_aws"]["CloudWatchMetrics"]
    asked = [widget["properties"]["metrics"][0][0]["expression"] for widget in widgets]
    names = [re.findall('MetricName="([^"]+)"', expression) for expression in asked]
    assert sum(names, []) == ["AttemptUsd", "AttemptSeconds", "Failed", "Replaced"]  # noqa: RUF017
    assert {name for [name] in names} == {metric["Name"] for metric in described["Metrics"]}
    for expression in asked:
        [schema] = re.findall(r"\{([^}]+)\}", expression.replace("${AWS::StackName}", "mine"))
        assert set(schema.split(",")) == {described["Namespace"], *described["Dimensions"][0]}
