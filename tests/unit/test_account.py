"""Money: items are quantity times price, to the last digit, and totals are their exact sums."""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement import account
from placement.account import Item, LambdaCall
from placement.books import default_books

PRICES, _ = default_books()

quantities = st.decimals(0, 10**9, places=9, allow_nan=False, allow_infinity=False)
unit_prices = st.decimals(0, 100, places=15, allow_nan=False, allow_infinity=False)


def bill(items: Iterable[Item]) -> dict[str, str]:
    return {item.what: str(item.usd.normalize()) for item in items}


@given(quantities, unit_prices)
def test_an_item_costs_quantity_times_unit_price_to_twelve_decimals(
    quantity: Decimal, unit_usd: Decimal
) -> None:
    item = account.item("x", quantity, "unit", unit_usd)
    with localcontext() as context:
        context.prec = 100
        exact = quantity * unit_usd
        assert item.usd == exact.quantize(Decimal("1e-12"), ROUND_HALF_EVEN)


@given(st.lists(st.tuples(quantities, unit_prices), max_size=20))
def test_a_total_is_the_sum_of_its_items_as_printed(lines: list[tuple[Decimal, Decimal]]) -> None:
    items = [account.item("x", quantity, "unit", price) for quantity, price in lines]
    picodollars = sum(
        int(item.to_json()["usd"].partition(".")[0]) * 10**12
        + int(item.to_json()["usd"].partition(".")[2].ljust(12, "0"))
        for item in items
    )
    assert account.total(reversed(items)) * 10**12 == picodollars


@given(quantities, unit_prices)
def test_an_item_comes_back_from_json_unchanged(quantity: Decimal, unit_usd: Decimal) -> None:
    item = account.item("x", quantity, "unit", unit_usd)
    assert Item.from_json(item.to_json()) == item
    assert "E" not in "".join(item.to_json()[key] for key in ("quantity", "unit_usd", "usd"))


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0, 0), (0.1 + 0.2, 300), (0.3001, 301), (0.0001, 1), (1.0, 1000), (12.0000004, 12001)],
)
def test_lambda_time_is_billed_in_whole_milliseconds_rounded_up(
    seconds: float, milliseconds: int
) -> None:
    assert account.billed_ms(seconds) == milliseconds


def test_lambda_calls_are_billed_by_memory_requests_and_tmp() -> None:
    calls = [LambdaCall(1024, 1000, count=3), LambdaCall(2048, 500), LambdaCall(1024, 1)]
    assert bill(account.lambda_items(PRICES, calls)) == {
        "Lambda compute 1024 MB": "0.000050016767",  # 3.001 GB-s, 12 decimals
        "Lambda compute 2048 MB": "0.0000166667",
        "Lambda requests": "0.000001",
    }


def test_tmp_is_billed_above_the_included_512_mb() -> None:
    items = account.lambda_items(PRICES, [LambdaCall(1024, 2000, tmp_mb=512 + 1024)])
    assert bill(items)["Lambda /tmp above 512 MB"] == "6.18E-8"


def test_a_warm_node_is_billed_for_its_seconds_only() -> None:
    (item,) = account.instance_items(PRICES, "c7i.large", 10.0, 2, launched=False, disk_gb=50)
    assert (item.quantity, item.unit) == (Decimal(20), "node-s")
    assert item.usd == Decimal("0.000495833333")  # 0.08925 / 3600 * 20


def test_a_launched_node_is_billed_for_a_minute_at_least_with_its_disk() -> None:
    nodes, disk = account.instance_items(PRICES, "c7i.large", 10.0, 2, launched=True, disk_gb=50)
    assert nodes.quantity == 120
    assert disk.quantity == 120 * 50
    assert abs(disk.usd - Decimal("0.000185185185")) < Decimal("1e-11")  # 6000 * 0.08 / 2592000
    longer, _ = account.instance_items(PRICES, "c7i.large", 61.5, 1, launched=True, disk_gb=50)
    assert longer.quantity == Decimal("61.5")


def test_requests_are_billed_each() -> None:
    items = [
        *account.s3_request_items(PRICES, put=1000, get=1000),
        *account.transition_items(PRICES, 1000),
        *account.sqs_items(PRICES, 1_000_000),
        *account.ledger_items(PRICES, writes=1_000_000, reads=1_000_000),
        *account.event_items(PRICES, 1_000_000),
    ]
    assert bill(items) == {
        "S3 PUT": "0.005",
        "S3 GET": "0.0004",
        "Step Functions transitions": "0.025",
        "SQS requests": "0.4",
        "DynamoDB writes": "0.625",
        "DynamoDB reads": "0.125",
        "EventBridge events": "1",
    }


def test_stored_gigabytes_are_billed_by_the_second_of_a_thirty_day_month() -> None:
    month = Decimal(30 * 24 * 3600)
    for item, usd in ((account.gp3_item(PRICES, month), "0.08"),):
        assert abs(item.usd - Decimal(usd)) < Decimal("0.00000001")


def test_nothing_used_makes_no_line() -> None:
    assert account.s3_request_items(PRICES, put=0, get=0) == ()
    assert account.lambda_items(PRICES, []) == ()
