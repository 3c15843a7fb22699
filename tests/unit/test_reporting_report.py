import copy
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reporting.report
from placement.errors import UserError
from reporting.beside import beside, cluster_rows, up_anyway_usd
from reporting.report import (
    TotalsError,
    check_totals,
    parse_report,
    schema_text,
)

SAMPLE = Path(__file__).parent / "golden" / "report.json"
SCHEMA = Path(reporting.report.__file__).with_name("report.schema.json")
Data = dict[str, Any]


def sample() -> Data:
    data: Data = json.loads(SAMPLE.read_text())
    return data


def set_path(path: str, value: object) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        *way, last = path.split(".")
        place: Any = data
        for key in way:
            place = place[int(key)] if key.isdigit() else place[key]
        place[int(last) if last.isdigit() else last] = value

    return change


BROKEN = {
    "a float cost": set_path("measured.usd", 0.024),
    "a cost with an exponent": set_path("measured.usd", "2.4E-2"),
    "a negative cost": set_path("steps.0.items.0.usd", "-0.000001"),
    "an unknown status": set_path("status", "finished"),
    "an unknown field": set_path("steps.0.colour", "blue"),
    "an unknown outcome": set_path("steps.1.attempts.0.outcome", "lost"),
    "an unknown event": set_path("steps.0.workers.0.events.0.kind", "sleep"),
    "a negative time": set_path("steps.0.measured.queue_s", -1.0),
    "an alternative with neither plan nor reason": set_path("alternatives.0", {"policy": "heft"}),
    "a share above one": set_path("steps.0.parts", [{"platform": "ray", "size": {}, "share": 1.5}]),
    "a count that is text": set_path("steps.0.counts.reads_in", "many"),
    "no steps": lambda data: data.pop("steps"),
    "attempt numbers from zero": set_path("steps.0.attempts.0.attempt", 0),
}


def test_the_sample_is_valid_by_model_and_by_schema() -> None:
    jsonschema.validate(sample(), json.loads(SCHEMA.read_text()))
    assert parse_report(sample()).run == sample()["run"]


def test_the_published_schema_is_the_models_own() -> None:
    assert SCHEMA.read_text() == schema_text(), "write it anew as docs/report.md says"


def test_the_schema_is_itself_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_report_is_refused_by_model_and_by_schema(change: Callable[[Data], None]) -> None:
    data = sample()
    change(data)
    with pytest.raises(UserError, match=r"^Not a valid report\.json: .*\.$"):
        parse_report(data)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_path("started_at", "2026-08-20T14:03:11"), "started_at"),
        (set_path("steps.0.platform", "mixed"), "needs its parts"),
        (set_path("status", "failed"), "needs its reason"),
        (set_path("steps.0.workers.0.events.0.end_s", 0.0), "end_s is before start_s"),
        (set_path("steps.2.items.1.quantity", True), "steps.2.items.1.quantity"),
    ],
)
def test_what_a_schema_cannot_say_is_refused_with_its_place(
    change: Callable[[Data], None], said: str
) -> None:
    data = sample()
    change(data)
    with pytest.raises(UserError, match=said):
        parse_report(data)


def test_the_sample_adds_up() -> None:
    check_totals(parse_report(sample()))


@pytest.mark.parametrize(
    ("path", "value", "level"),
    [
        ("measured.usd", "0.024457874", "run"),
        ("steps.1.measured.usd", "0.006299666", "step sketch"),
        ("steps.0.items.1.usd", "0.000001602", 'item "Lambda requests" of step quality'),
        ("shared_items.0.usd", "0.001884042", 'item "Ray head node, idle" of shared items'),
        ("shared_items.1.split.0.usd", "0.001512191", 'split of "Cluster head node"'),
        ("steps.1.attempts.0.usd", "0.000123068", "attempt 1.0 of step sketch"),
        ("other_items.0.quantity", 45, 'item "SQS requests" of other items'),
        ("steps.2.items.0.unit_usd", "0.00009918", 'item "EC2 c7i.2xlarge" of step spectral'),
    ],
)
def test_one_wrong_figure_is_found_at_its_level(path: str, value: object, level: str) -> None:
    data = sample()
    set_path(path, value)(data)
    with pytest.raises(TotalsError, match="does not add up") as raised:
        check_totals(parse_report(data))
    assert raised.value.level == level


def test_an_item_may_be_rounded_but_not_coarser_than_a_micro_dollar() -> None:
    data = sample()
    item = {"what": "x", "quantity": 1, "unit": "u", "unit_usd": "0.0000044", "usd": "0.000004"}
    data |= {"other_items": [item], "shared_items": []}
    steps = sum(Decimal(step["measured"]["usd"]) for step in data["steps"])
    data["measured"]["usd"] = f"{steps + Decimal('0.000004'):f}"
    check_totals(parse_report(data))
    item |= {"unit_usd": "0.004", "usd": "0.00"}
    with pytest.raises(TotalsError, match="other items"):
        check_totals(parse_report(data))


def test_an_item_may_be_the_sum_of_several_rounded_amounts() -> None:
    parts = [
        (Decimal("1.123456789"), Decimal("0.000049583333333")),
        (Decimal("2.987654321"), Decimal("0.000049583333333")),
    ]
    usd = sum(((q * u).quantize(Decimal("1e-12")) for q, u in parts), Decimal(0))
    data = with_items([[(sum((q for q, _ in parts), Decimal(0)), parts[0][1])]], [])
    step = data["steps"][0]
    step["items"][0]["usd"] = step["measured"]["usd"] = step["attempts"][0]["usd"] = f"{usd:f}"
    data["measured"]["usd"] = f"{usd:f}"
    check_totals(parse_report(data))


MONEY = st.decimals(min_value=0, max_value=10_000, places=10)
QUANTITY = st.decimals(min_value=0, max_value=1_000_000, places=4)
ITEMS = st.lists(st.tuples(QUANTITY, MONEY), max_size=5)


def with_items(groups: list[list[tuple[Decimal, Decimal]]], shared: list[Any]) -> Data:
    def item(quantity: Decimal, unit_usd: Decimal) -> Data:
        usd = f"{quantity * unit_usd:f}"
        return {
            "what": "w",
            "quantity": f"{quantity:f}",
            "unit": "u",
            "unit_usd": f"{unit_usd:f}",
            "usd": usd,
        }

    data = sample()
    pattern = data["steps"][0]
    data["steps"] = []
    for index, group in enumerate(groups):
        step = copy.deepcopy(pattern) | {"step": f"s{index}", "items": [item(*i) for i in group]}
        usd = f"{sum((q * u for q, u in group), Decimal(0)):f}"
        step["measured"]["usd"] = usd
        step["attempts"] = [step["attempts"][0] | {"items": step["items"], "usd": usd}]
        data["steps"].append(step)
    data |= {"other_items": [item(*i) for i in shared], "shared_items": []}
    every = [pair for group in [*groups, shared] for pair in group]
    data["measured"]["usd"] = f"{sum((q * u for q, u in every), Decimal(0)):f}"
    return data


@given(groups=st.lists(ITEMS, max_size=4), shared=ITEMS)
def test_exact_sums_of_any_items_pass(
    groups: list[list[tuple[Decimal, Decimal]]], shared: list[tuple[Decimal, Decimal]]
) -> None:
    report = parse_report(with_items(groups, shared))
    check_totals(report)
    assert beside(report).orchestration_usd == sum((q * u for q, u in shared), Decimal(0))


@given(
    groups=st.lists(ITEMS, min_size=1, max_size=4),
    shared=ITEMS,
    which=st.integers(min_value=0),
    by=st.decimals(min_value=Decimal("1E-12"), max_value=10, places=12),
)
def test_any_step_or_run_total_that_is_off_fails(
    groups: list[list[tuple[Decimal, Decimal]]],
    shared: list[tuple[Decimal, Decimal]],
    which: int,
    by: Decimal,
) -> None:
    data = with_items(groups, shared)
    levels = [(step["measured"], f"step {step['step']}") for step in data["steps"]]
    wrong, level = [*levels, (data["measured"], "run")][which % (len(levels) + 1)]
    wrong["usd"] = f"{Decimal(wrong['usd']) + by:f}"
    with pytest.raises(TotalsError) as raised:
        check_totals(parse_report(data))
    assert raised.value.level == level


def test_what_steps_and_clusters_leave_of_the_estimate_is_orchestration() -> None:
    found = beside(parse_report(sample()))
    booting, idle, head = Decimal("0.00059496"), Decimal("0.0014874"), Decimal("0.001105634")
    assert found.clusters_estimate_usd == booting + idle + head
    assert found.orchestration_estimate_usd == Decimal("0.003634") - (booting + idle + head)
    assert found.clusters_usd == Decimal("0.001884040") + Decimal("0.001512190")
    assert up_anyway_usd(parse_report(sample())) == idle + head


@pytest.mark.parametrize("path", ["estimate", "steps.1.estimate"])
def test_without_an_estimate_there_is_none_of_orchestration(path: str) -> None:
    data = sample()
    set_path(path, None)(data)
    assert beside(parse_report(data)).orchestration_estimate_usd is None


def test_a_report_that_estimated_nothing_of_its_clusters_claims_no_zero() -> None:
    data = sample() | {"estimated_shared_items": []}
    assert beside(parse_report(data)).clusters_estimate_usd is None
    assert (
        beside(parse_report(data | {"shared_items": []})).clusters_estimate_usd
        == Decimal("0.001884040") * 0
    )


def test_a_line_is_shown_once_with_its_estimate_and_what_was_measured() -> None:
    rows = {row.what: row for row in cluster_rows(parse_report(sample()))}
    assert list(rows) == ["Ray head node, idle", "Cluster head node", "booting c7i.xlarge nodes"]
    assert rows["Ray head node, idle"].estimate_usd == Decimal("0.0014874")
    assert rows["Ray head node, idle"].measured_usd == Decimal("0.001884040")
    assert rows["booting c7i.xlarge nodes"].measured_usd is None
