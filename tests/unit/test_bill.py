"""Billed beside measured: every line ends up somewhere, and every difference in its parts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from billing.bill import Bill, OtherRun, Row, bill_run
from billing.differences import Measured
from billing.line import BilledLine, tag_key
from billing.scope import LOGICAL_IDS, Scope, hours
from placement.account import Item, item
from placement.errors import UserError
from reporting.bill_text import bill_headline
from tests.definitions import ROOT
from tests.unit import cur_sample as sample
from tests.unit.test_state_machines import _Loader

ENDED = sample.HOUR + timedelta(minutes=4)
COMPLETE = ENDED + timedelta(hours=24)
SCOPE = Scope(sample.RUN, sample.STACK, sample.ACCOUNT, sample.REGION, *hours(sample.HOUR, ENDED))
PUT = item("S3 PUT", 100, "request", Decimal("0.000005"))


def to_line(row: dict[str, Any]) -> BilledLine:
    return BilledLine(
        account=row["line_item_usage_account_id"],
        region=row["product_region_code"],
        line_type=row["line_item_line_item_type"],
        start=row["line_item_usage_start_date"],
        end=row["line_item_usage_end_date"],
        product=row["line_item_product_code"],
        usage_type=row["line_item_usage_type"],
        resource=row["line_item_resource_id"],
        quantity=row["line_item_usage_amount"],
        unit=row["pricing_unit"],
        usd=row["line_item_unblended_cost"],
        tags={tag_key(key): value for key, value in row["resource_tags"].items()},
    )


def put(quantity: int, usd: str, **more: Any) -> BilledLine:
    """Return a line of PUT requests in the run's hour."""
    row = sample.line(
        "AmazonS3", "Requests-Tier1", sample.BUCKET, Decimal(quantity), Decimal(usd), **more
    )
    return to_line(row)


def made(
    lines: Iterable[BilledLine],
    items: Iterable[Item] = (PUT,),
    beside: tuple[OtherRun, ...] = (),
    *,
    complete: bool = True,
) -> Bill:
    late = [to_line(sample.later())] if complete else []
    return bill_run(SCOPE, ENDED, items, beside, [*lines, *late])


def only_row(bill: Bill) -> Row:
    (row,) = bill.rows
    return row


def parts(row: Row) -> dict[str, str]:
    return {part.reason: f"{part.usd.normalize():f}" for part in row.parts}


def whole_bill() -> Bill:
    data = sample.report()
    lines = [to_line(row) for row in sample.export(data)]
    return bill_run(SCOPE, ENDED, sample.items_of(data), (), lines)


# What is taken


def test_a_bill_that_counts_as_trivium_does_differs_by_what_is_not_measured_and_rounding() -> None:
    bill = whole_bill()
    assert bill.unexplained_usd == 0
    assert bill.complete
    assert {part.reason for row in bill.rows for part in row.parts} == {"not_measured", "rounding"}
    assert bill.difference_usd == sum(part.usd for row in bill.rows for part in row.parts)
    # Logs, and the call that writes the report: 0.0001 + 0.0000250001 + 0.0000002.
    told = [part.usd for row in bill.rows for part in row.parts if part.reason == "not_measured"]
    assert sum(told) == Decimal("0.0001252001")


def test_lines_that_are_not_the_runs_are_left_out_each_for_its_reason() -> None:
    left = {each.reason: (each.lines, each.usd) for each in whole_bill().left_out}
    assert left == {
        "longer_than_an_hour": (1, Decimal("0.0115")),
        "names_no_resource": (1, Decimal("0.47")),
        "other_account": (1, Decimal("0.00015")),
        "other_region": (1, Decimal("0.00015")),
        "other_resource": (2, Decimal("0.10095")),
        "other_run": (1, Decimal("0.1785")),
        "other_time": (2, Decimal("0.000154")),
    }


def test_lambda_is_told_apart_by_function_into_tasks_control_and_the_report() -> None:
    kinds = {row.kind.name: row.billed.resources[0].resource for row in whole_bill().rows}
    assert kinds["Lambda compute 1024 MB"] == sample.FUNCTION % "RunTask1024"
    assert kinds["Control functions compute"] == sample.FUNCTION % "Admit"
    assert kinds["Report function compute"] == sample.FUNCTION % "Report"


@pytest.mark.parametrize(
    ("resource", "its"),
    [
        (sample.FUNCTION % "Plan", True),
        (sample.FUNCTION % "Plan" + ":3", True),
        (f"arn:aws:states:us-east-1:{sample.ACCOUNT}:stateMachine:trivium-step", True),
        (sample.BUCKET, True),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/vendedlogs/states/trivium", True),
        ("arn:aws:logs:us-east-1:1:log-group:/aws/vendedlogs/states/trivium-test", False),
        (f"arn:aws:states:us-east-1:{sample.ACCOUNT}:stateMachine:trivium-step-2", False),
        (sample.FUNCTION.replace("trivium", "trivium-test") % "Plan", False),
        (sample.FUNCTION.replace("trivium", "my-trivium") % "Plan", False),
        (sample.FUNCTION % "Planner", False),
        ("trivium-data", False),
        ("i-0123456789abcdef0", False),
    ],
)
def test_a_resource_is_the_stacks_by_its_name(resource: str, its: bool) -> None:
    row = sample.line("AmazonS3", "X", resource, Decimal(1), Decimal(1))
    assert (SCOPE.leaves_out(to_line(row)) is None) == its


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"user_trivium_stack": "trivium"}, None),
        ({"trivium:stack": "trivium"}, None),
        ({"aws_cloudformation_stack_name": "trivium"}, None),
        ({"user_trivium_run": sample.RUN}, None),
        ({"user_trivium_stack": "other"}, "other_resource"),
        ({"user_trivium_stack": "trivium", "user_trivium_run": "other"}, "other_run"),
    ],
)
def test_a_node_is_the_stacks_by_its_tags(tags: dict[str, str], reason: str | None) -> None:
    row = sample.line("AmazonEC2", "BoxUsage:t3.micro", "i-0", Decimal(1), Decimal(1), tags=tags)
    assert SCOPE.leaves_out(to_line(row)) == reason


def test_a_run_takes_every_hour_that_it_touches() -> None:
    def at(hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 8, 20, hour, minute, tzinfo=UTC)

    assert hours(at(14, 59), at(15, 1)) == (at(14), at(16))
    assert hours(at(14, 3), at(15)) == (at(14), at(15))
    assert hours(at(14), at(14)) == (at(14), at(15))


def test_two_accounts_with_a_stack_of_that_name_are_not_mixed() -> None:
    scope = Scope(sample.RUN, sample.STACK, None, sample.REGION, SCOPE.start, SCOPE.end)
    lines = [put(1, "0.000005"), put(1, "0.000005", account=sample.OTHER_ACCOUNT)]
    with pytest.raises(UserError, match=r"123456789012 and 210987654321 .* --account"):
        bill_run(scope, ENDED, (), (), lines)
    assert bill_run(scope, ENDED, (), (), lines[:1]).account == sample.ACCOUNT


# Why it differs


def test_equal_quantity_and_price_differ_by_nothing() -> None:
    row = only_row(made([put(60, "0.0003"), put(40, "0.0002")]))
    assert row.parts == ()
    assert row.unexplained_usd == row.difference_usd == 0
    assert row.billed.quantity == 100


def test_the_free_tier_is_usage_at_no_cost() -> None:
    row = only_row(made([put(70, "0"), put(30, "0.00015")]))
    assert parts(row) == {"free_tier": "-0.00035"}
    assert row.unexplained_usd == 0


def test_reserved_usage_is_not_called_free() -> None:
    assert parts(only_row(made([put(100, "0", kind="DiscountedUsage")]))) == {
        "reservation": "-0.0005"
    }


def test_another_unit_price_shows_both() -> None:
    row = only_row(made([put(100, "0.00045")]))
    assert parts(row) == {"other_price": "-0.00005"}
    assert row.parts[0].says == "billed at $0.0000045 a request, measured at $0.000005"


def test_taxes_and_credits_of_a_resource_are_told_by_their_type() -> None:
    row = only_row(made([put(100, "0.0005"), put(0, "-0.0002", kind="Credit")]))
    assert parts(row) == {"adjustment": "-0.0002"}
    assert row.parts[0].says == "Credit lines"
    assert row.billed.usd == Decimal("0.0003")


def test_what_another_run_of_the_hours_measured_may_be_its_share() -> None:
    other = OtherRun("b", (item("S3 PUT", 50, "request", Decimal("0.000005")),))
    row = only_row(made([put(140, "0.0007")], beside=(other,)))
    assert parts(row) == {"shared_hours": "0.0002"}
    assert not row.parts[0].exact
    row = only_row(made([put(160, "0.0008")], beside=(other,)))
    assert parts(row) == {"shared_hours": "0.00025"}
    assert row.unexplained_usd == Decimal("0.00005")


def test_more_usage_that_nobody_measured_is_unexplained() -> None:
    row = only_row(made([put(101, "0.000505")]))
    assert (row.parts, row.unexplained_usd) == ((), Decimal("0.000005"))


def test_less_usage_is_unexplained_once_all_must_be_billed() -> None:
    row = only_row(made([put(90, "0.00045")]))
    assert (row.parts, row.unexplained_usd) == ((), Decimal("-0.00005"))


@pytest.mark.parametrize("lines", [[put(90, "0.00045")], []])
def test_less_usage_may_be_billed_later_while_the_export_ends_early(
    lines: list[BilledLine],
) -> None:
    bill = made(lines, complete=False)
    row = only_row(bill)
    assert not bill.complete
    assert parts(row) == {"not_billed_yet": "-0.00005" if lines else "-0.0005"}
    assert not row.parts[0].exact
    assert row.unexplained_usd == 0


def test_nodes_that_no_job_held_are_billed_too() -> None:
    held = item("c7i.xlarge nodes", 1800, "node-s", Decimal("0.1785") / 3600)
    row = sample.line(
        "AmazonEC2", "BoxUsage:c7i.xlarge", "i-0", Decimal(1), Decimal("0.1785"),
        tags={"user_trivium_stack": "trivium"},
    )  # fmt: skip
    found = only_row(made([to_line(row)], [held]))
    assert set(parts(found)) == {"held_by_no_job", "rounding"}  # a second's price is rounded
    assert abs(Decimal(parts(found)["held_by_no_job"]) - Decimal("0.08925")) < Decimal("1e-11")
    assert found.unexplained_usd == 0


def test_volumes_are_compared_in_the_seconds_they_are_measured_in() -> None:
    month_s = 30 * 24 * 3600
    disk = item("EBS gp3 disks", 8 * 3600, "GB-s", Decimal("0.08") / month_s)
    row = sample.line(
        "AmazonEC2", "EBS:VolumeUsage.gp3", "vol-0", Decimal(8) / 720, Decimal("0.0008888889"),
        unit="GB-Mo", tags={"user_trivium_stack": "trivium"},
    )  # fmt: skip
    found = only_row(made([to_line(row)], [disk]))
    assert abs(found.billed.quantity - 28_800) < Decimal("1e-15")
    assert set(parts(found)) <= {"rounding"}
    assert found.unexplained_usd == 0


def test_volume_tiers_of_a_measured_item_are_one_kind() -> None:
    tiers = [
        item("Lambda compute 1024 MB", 6, "GB-s", Decimal("0.00002")),
        item("Lambda compute 1024 MB above 6 GB-s", 4, "GB-s", Decimal("0.00001")),
        item("Lambda /tmp above 512 MB", 3, "GB-s", Decimal("0.00001")),
    ]
    names = {row.kind.name: row.measured for row in made([], tiers).rows}
    assert set(names) == {"Lambda compute 1024 MB", "Lambda /tmp above 512 MB"}
    found = names["Lambda compute 1024 MB"]
    assert found is not None
    assert found == Measured(Decimal(10), Decimal("0.000016"), Decimal("0.00016"))


def test_what_is_billed_too_much_does_not_hide_what_is_billed_too_little() -> None:
    get = item("S3 GET", 100, "request", Decimal("0.0000004"))
    bill = made([put(100, "0.00054")], [PUT, get])
    assert bill.unexplained_usd == Decimal("-0.00004")
    said = bill_headline(made([put(108, "0.00054")], [PUT, get]))
    assert said.endswith("$0.000040000 is unexplained, -$0.000040000 is unexplained.")


# Sums

AMOUNTS = st.decimals(-10, 10_000, places=10)
LINES = st.builds(
    BilledLine,
    account=st.sampled_from([sample.ACCOUNT, sample.OTHER_ACCOUNT]),
    region=st.sampled_from([sample.REGION, "", "eu-west-1"]),
    line_type=st.sampled_from(["Usage", "Usage", "DiscountedUsage", "Tax", "Credit"]),
    start=st.sampled_from([sample.HOUR, sample.HOUR - timedelta(hours=1)]),
    end=st.sampled_from([sample.HOUR + timedelta(hours=hour) for hour in (1, 2, 40)]),
    product=st.sampled_from(["AmazonS3", "AWSLambda", "AmazonEC2", "Other"]),
    usage_type=st.sampled_from(["Requests-Tier1", "Lambda-GB-Second", "BoxUsage:t3.micro"]),
    resource=st.sampled_from(["", sample.BUCKET, sample.FUNCTION % "RunTask1024", "i-0"]),
    quantity=st.decimals(0, 10_000, places=10),
    unit=st.just("u"),
    usd=AMOUNTS | st.just(Decimal(0)),
    tags=st.sampled_from([{}, {"trivium_stack": "trivium"}, {"trivium_run": "other"}]),
)
NAMES = [("S3 PUT", "request"), ("Lambda compute 1024 MB", "GB-s"), ("t3.micro nodes", "node-s")]
ITEMS = st.builds(
    lambda name, quantity, price: item(name[0], quantity, name[1], price),
    st.sampled_from([*NAMES, ("Something new", "u")]),
    st.decimals(0, 10_000, places=6),
    st.decimals(0, 1, places=12),
)


@given(st.lists(LINES), st.lists(ITEMS), st.lists(ITEMS))
def test_every_line_is_counted_once_and_every_difference_adds_up(
    lines: list[BilledLine], items: list[Item], others: list[Item]
) -> None:
    bill = bill_run(SCOPE, ENDED, items, (OtherRun("b", tuple(others)),), lines)
    exact = sum((Fraction(line.usd) for line in lines), Fraction(0))
    sorted_out = [row.billed.usd for row in bill.rows] + [each.usd for each in bill.left_out]
    assert sum(map(Fraction, sorted_out), Fraction(0)) == Fraction(bill.lines_usd) == exact
    assert Fraction(bill.measured_usd) == sum((Fraction(each.usd) for each in items), Fraction(0))
    for row in bill.rows:
        told = [part.usd for part in row.parts] + [row.unexplained_usd]
        measured = Fraction(row.measured.usd) if row.measured else Fraction(0)
        assert sum(map(Fraction, told), Fraction(0)) == Fraction(row.billed.usd) - measured
        shares = [Fraction(each.usd) for each in row.billed.resources]
        assert sum(shares, Fraction(0)) == Fraction(row.billed.usd)


# The template


def template() -> dict[str, Any]:
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    return dict(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader


def test_the_names_that_resources_are_told_by_are_the_templates() -> None:
    named = {
        name
        for name, resource in template()["Resources"].items()
        if resource["Type"]
        in {
            "AWS::Serverless::Function",
            "AWS::DynamoDB::Table",
            "AWS::SQS::Queue",
            "AWS::Logs::LogGroup",
        }
        and "LogGroupName" not in resource["Properties"]
    }
    assert named == set(LOGICAL_IDS)


def test_every_resource_that_is_billed_carries_the_stacks_cost_allocation_tags() -> None:
    found = template()
    shared = found["Globals"]["Function"]["Tags"]
    untaggable = {
        "AWS::CloudWatch::Dashboard",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::Lambda::Permission",
        "AWS::S3::BucketPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::Serverless::LayerVersion",
    }
    for name, resource in found["Resources"].items():
        if resource["Type"] in untaggable:
            continue
        tags = resource["Properties"].get("Tags", {})
        if isinstance(tags, list):
            tags = {tag["Key"]: tag["Value"] for tag in tags}
        if resource["Type"] == "AWS::Serverless::Function":
            tags = shared | tags
        assert set(tags) == {"trivium:stack", "trivium:part"}, name
        assert tags["trivium:part"] in {"control", "tasks", "data"}, name
