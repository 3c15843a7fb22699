import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.report import Report, parse_report
from reporting.text import (
    change_text,
    comparisons,
    headline,
    judgement,
    machine_text,
    number_text,
    placed_text,
    plain,
    run_decimals,
    score_text,
    seconds_text,
    size_text,
    up_anyway_text,
    usd_text,
)

SAMPLE = Path(__file__).parent / "golden" / "report.json"


def sample(**changes: Any) -> Report:
    return parse_report(json.loads(SAMPLE.read_text()) | changes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.001, "<0.01 s"),
        (0.042, "0.04 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1m 00s"),
        (185.4, "3m 05s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (3_600_000, "1,000h 00m"),
    ],
)
def test_seconds_are_written_as_people_say_them(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("usd", "decimals", "text"),
    [
        (None, 6, "-"),
        (Decimal("0.000123"), 6, "$0.000123"),
        (Decimal(0), 6, "$0.000000"),
        (Decimal("0.0000002"), 6, "<$0.000001"),
        (Decimal("1234.5"), 2, "$1,234.50"),
        (Decimal("-0.0005"), 4, "-$0.0005"),
    ],
)
def test_dollars_never_round_something_to_nothing(
    usd: Decimal | None, decimals: int, text: str
) -> None:
    assert usd_text(usd, decimals) == text


@pytest.mark.parametrize(
    ("value", "base", "text"),
    [
        (110.0, 100.0, "+10 %"),
        (Decimal("0.5"), Decimal(1), "-50 %"),
        (1.0, 1.0, "same"),
        (0, 0, "same"),
        (1.001, 1.0, "+0.1 %"),
        (5.0, 0.0, "-"),
        (21.0, 1.0, "+2,000 %"),
    ],
)
def test_a_change_is_signed_and_never_a_rounded_zero(
    value: float | Decimal, base: float | Decimal, text: str
) -> None:
    assert change_text(value, base) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ({"memory_mb": 1024}, "1024 MB"),
        ({"instance": "c7i.large", "count": 2}, "2 × c7i.large"),  # noqa: RUF001
        ({"ranks": 8, "nodes": 2, "instance_type": "c7i.large"}, "2 × c7i.large, 8 ranks"),  # noqa: RUF001
        ({"instance": "c7i.large", "ranks": 1}, "c7i.large, 1 rank"),
        ({"disk_gb": 20, "queue": "spot"}, "20 GB disk, spot"),
        ({}, ""),
    ],
)
def test_a_size_is_written_as_people_say_it(size: dict[str, int | float | str], text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (100000, "100,000"),
        (0.25, "0.25"),
        (Decimal("1.500"), "1.5"),
        (100.0, "100"),
        (1e-7, "0.0000001"),
    ],
)
def test_numbers_have_no_trailing_zeros(number: float | Decimal, text: str) -> None:
    assert number_text(number) == text


@given(st.text())
def test_plain_text_is_one_printable_line_of_the_same_length(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) == len(text)


def test_a_split_step_names_every_part_and_its_share() -> None:
    data = json.loads(SAMPLE.read_text())
    data["steps"][0] |= {
        "platform": "mixed",
        "parts": [
            {"platform": "lambda", "size": {"memory_mb": 512}, "share": 0.75},
            {"platform": "ray", "size": {"instance": "c7i.large", "count": 1}, "share": 0.25},
        ],
    }
    report = parse_report(data)
    assert placed_text(report.steps[0]) == "75% lambda 512 MB + 25% ray 1 × c7i.large"  # noqa: RUF001
    assert "quality on lambda and ray" in headline(report)


def test_the_headline_says_time_cost_and_places() -> None:
    assert headline(sample()) == (
        "read-clustering took 49.0 s and $0.0245, "
        "with quality on lambda, sketch on ray and spectral on hpc."
    )


def test_the_headline_of_many_steps_counts_them() -> None:
    step = json.loads(SAMPLE.read_text())["steps"][0]
    ray = step | {"platform": "ray"}
    assert headline(sample(steps=[step] * 40 + [ray])).endswith(
        "with 40 steps on lambda and 1 step on ray."
    )


def test_the_headline_of_a_failure_gives_the_reason() -> None:
    report = sample(status="failed", reason="quality: no reads were left.")
    assert headline(report) == (
        "read-clustering failed after 49.0 s and $0.0245: quality: no reads were left."
    )


def test_the_headline_of_a_running_run_says_so_far() -> None:
    report = sample(status="running", ended_at=None, steps=[])
    assert headline(report) == "read-clustering is running: 49.0 s and $0.0245 so far."


def test_a_tiny_cost_keeps_its_digits_in_the_headline() -> None:
    assert "$0.000012" in headline(sample(measured={"seconds": 1, "usd": "0.000012"}))


def test_alternatives_are_compared_with_the_estimate_not_with_what_was_measured() -> None:
    report = sample(
        estimate={"seconds": 10, "usd": "1"},
        estimated_shared_items=[],
        measured={"seconds": 99, "usd": "99"},
        alternatives=[{"policy": "heft", "seconds": 5, "usd": "3"}],
    )
    (only,) = comparisons(report)
    assert (only.seconds_change, only.usd_change) == ("-50 %", "+200 %")


def test_a_policy_without_a_plan_says_why() -> None:
    (only,) = comparisons(sample(alternatives=[{"policy": "all-lambda", "why_not": "needs MPI"}]))
    assert (only.seconds, only.why_not) == ("-", "needs MPI")


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([(9.0, "1")], "heft0 would have been better"),
        ([(9.0, "0.5"), (10.0, "0.9")], "heft0 and heft1 would have been better"),
        ([(10.0, "1")], "heft0 does not beat this plan"),
        ([(9.0, "2"), (20.0, "0.5")], "none of the 2 other placements beats this plan"),
    ],
)
def test_the_judgement_admits_a_better_alternative(
    others: list[tuple[float, str]], said: str
) -> None:
    alternatives = [
        {"policy": f"heft{index}", "seconds": seconds, "usd": usd}
        for index, (seconds, usd) in enumerate(others)
    ]
    report = sample(
        estimate={"seconds": 10, "usd": "1"}, estimated_shared_items=[], alternatives=alternatives
    )
    assert said in (judgement(report) or "")


def warm_idle(usd: str) -> dict[str, object]:
    line = {"what": "idle nodes", "quantity": 1, "unit": "node-s", "unit_usd": usd, "usd": usd}
    return line | {"kind": "idle", "platform": "hpc", "up_anyway": True}


def test_what_is_up_anyway_is_told_and_does_not_make_a_plan_lose() -> None:
    """The plan costs 3 with 2 of idle time; the other one 2.5 with 1 of it."""
    other = {"policy": "all-hpc", "seconds": 10, "usd": "2.5", "up_anyway_usd": "1"}
    report = sample(
        estimate={"seconds": 10, "usd": "3"},
        estimated_shared_items=[warm_idle("2")],
        alternatives=[other],
    )
    (only,) = comparisons(report)
    assert (only.usd, only.usd_change, only.whole_usd) == ("$1.5000", "+50 %", "$2.5000")
    said = judgement(report) or ""
    assert "all-hpc does not beat this plan" in said
    assert "With what is up anyway charged to the run, all-hpc would have been better." in said
    assert "no placement is chosen by it" in (up_anyway_text(report) or "")


def test_without_warm_nodes_nothing_is_said_of_them() -> None:
    assert up_anyway_text(sample(estimated_shared_items=[])) is None


def test_without_estimates_there_is_no_judgement_and_no_change() -> None:
    report = sample(estimate=None)
    assert judgement(report) is None
    assert comparisons(report)[0].seconds_change == "-"
    assert judgement(sample(alternatives=[])) is None


@pytest.mark.parametrize(("usd", "decimals"), [("0.5", 6), ("1", 4), ("99", 4), ("100", 2)])
def test_larger_totals_are_shown_with_fewer_decimals(usd: str, decimals: int) -> None:
    assert run_decimals(sample(measured={"seconds": 1, "usd": usd})) == decimals


def test_an_unknown_score_is_shown_without_a_meaning() -> None:
    assert score_text(sample(score={"name": "f1_by_genus", "value": 0.5})) == "f1 by genus 0.5"
    assert score_text(sample(score=None)) is None


def test_the_machine_is_named_even_without_a_note() -> None:
    assert machine_text(sample(machine={"kind": "aws", "note": ""})) == "Measured on AWS."
