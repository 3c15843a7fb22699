"""Bills that others have worked out: AWS's own pricing examples first.

Each example names where it stands; its arithmetic is told in other words. Unit prices are those of
the bundled book, unless the example uses others. Pages were read as stored copies.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement import account
from placement.account import Item, LambdaCall, LambdaMonth, Month, SpotPrice
from placement.books import Figure, PriceBook, Tier, default_books
from placement.errors import UserError

BOOK, _ = default_books()
MILLION = 1_000_000
HOUR = 3600
DAY = 24 * HOUR

LAMBDA = "https://aws.amazon.com/lambda/pricing/"
S3_FAQ = "https://aws.amazon.com/s3/faqs/ (How will I be charged)"
EBS = "https://aws.amazon.com/ebs/pricing/ (example 1)"
STEP_WORKSHOP = "AWS Step Functions workshop, Optimization, Review cost impact"
GOLDEN = "infracost, internal/providers/terraform/aws/testdata/{}: prices of the AWS Price List"


@dataclass(frozen=True)
class Example:
    """A bill: where it is worked out, what it was for, and its lines, in USD to the cent."""

    source: str
    items: tuple[Item, ...]
    lines: tuple[str, ...]
    total: str
    step: str = "0.01"

    def rounded(self, usd: Decimal) -> str:
        return f"{usd.quantize(Decimal(self.step), ROUND_HALF_UP):,f}"


def book(**usd: str) -> PriceBook:
    """The bundled book with an example's own prices, without tiers."""
    own = {name: Figure(Decimal(value), "USD", "the example", "") for name, value in usd.items()}
    return replace(BOOK, figures={**BOOK.figures, **own})


def free(quantity: int) -> Month:
    return Month(free=Decimal(quantity))


FREE_LAMBDA = LambdaMonth({"x86_64": free(400_000)}, free(MILLION))
BYTE_HOURS_IN_MARCH = 100 * 2**30 * 15 * 24 + 100 * 2**40 * 16 * 24

EXAMPLES = {
    "lambda, food orders": Example(
        f"{LAMBDA} example 1: 3 M requests of 120 ms at 1536 MB are 540,000 GB-s, of which "
        "400,000 are free; 2 M requests are paid",
        account.lambda_items(BOOK, [LambdaCall(1536, 120, 3 * MILLION)], month=FREE_LAMBDA),
        ("0.00", "2.33", "0.00", "0.40"),
        "2.73",
    ),
    "lambda, telemetry": Example(
        f"{LAMBDA} example 2: 10,000 vehicles once an hour in 31 days, 2 s at 1 GB",
        account.lambda_items(BOOK, [LambdaCall(1024, 2000, 10_000 * 24 * 31)]),
        ("248.00", "1.49"),
        "249.49",
    ),
    "lambda, ephemeral storage": Example(
        f"{LAMBDA} example 3: 6 M requests of 280 ms at 4 GB with 2048 MB of /tmp; 6,320,000 GB-s "
        "and 5 M requests are paid, and 2,520,000 GB-s of the 1536 MB of /tmp above 512",
        account.lambda_items(
            BOOK, [LambdaCall(4096, 280, 6 * MILLION, tmp_mb=2048)], month=FREE_LAMBDA
        ),
        ("0.00", "105.33", "0.00", "1.00", "0.08"),
        "106.41",
    ),
    "lambda, an older page": Example(
        f"{LAMBDA}, an older copy, example 1: 512 MB, 3 M times 1 s at 0.00001667 USD",
        account.lambda_items(
            book(lambda_x86_gb_s="0.00001667"),
            [LambdaCall(512, 1000, 3 * MILLION)],
            month=FREE_LAMBDA,
        ),
        ("0.00", "18.34", "0.00", "0.40"),
        "18.74",
    ),
    "lambda, all tiers on x86": Example(
        GOLDEN.format("lambda_function_test") + ": 6, 9 and 15 billion GB-s",
        account.lambda_items(BOOK, [LambdaCall(1024, 2000, 15_000 * MILLION)]),
        ("100,000.20", "135,000.00", "200,001.00", "3,000.00"),
        "438,001.20",
    ),
    "lambda, all tiers on arm64": Example(
        GOLDEN.format("lambda_function_test") + ": 7.5, 11.25 and 18.75 billion GB-s",
        account.lambda_items(BOOK, [LambdaCall(1024, 2500, 15_000 * MILLION, arch="arm64")]),
        ("100,000.50", "135,001.13", "200,000.63", "3,000.00"),
        "438,002.25",
    ),
    "step functions, one state": Example(
        f"{STEP_WORKSHOP}: 1000 child workflows of 2 transitions each",
        account.transition_items(BOOK, 2 * 1000),
        ("0.05",),
        "0.05",
    ),
    "step functions, five states": Example(
        f"{STEP_WORKSHOP}: 1000 child workflows of 6 transitions each",
        account.transition_items(BOOK, 6 * 1000),
        ("0.15",),
        "0.15",
    ),
    "step functions, retries": Example(
        "https://aws.amazon.com/step-functions/pricing/ (a retry is a transition, 4000 are free), "
        "worked out in course notes: 9 transitions and 3 retries, 10,000 runs a day, 30 days",
        account.transition_items(BOOK, 9 * 10_000 * 30, retries=3 * 10_000 * 30, month=free(4000)),
        ("0.00", "89.90"),
        "89.90",
    ),
    "s3, storage over two tiers": Example(
        f"{S3_FAQ}: 100 GB for 15 days and 100 TB for 16 days of March are 52,900 GB-months; "
        "51,200 at 0.023 and 1,700 at 0.022",
        account.s3_storage_items(BOOK, account.gb_months(BYTE_HOURS_IN_MARCH, 744)),
        ("1,177.60", "37.40"),
        "1,215.00",
    ),
    "s3, transfer over three tiers": Example(
        f"{S3_FAQ}: 31 TB out of S3 and 31 TB out of EC2 are 63,488 GB together, the first free",
        account.transfer_out_items(BOOK, Decimal(62 * 1024), free(1)),
        ("0.00", "921.51", "3,481.60", "860.16"),
        "5,263.27",
    ),
    "s3, requests": Example(
        f"{S3_FAQ}: 10,000 files in and 20,000 out on each of 31 days; deleting costs nothing",
        account.s3_request_items(BOOK, put=310_000, get=620_000),
        ("1.55", "0.25"),
        "1.80",
    ),
    "transfer out of us-east-1": Example(
        GOLDEN.format("data_transfer_test") + ": 57,000 GB out of us-east-1",
        account.transfer_out_items(BOOK, Decimal(57_000)),
        ("921.60", "3,481.60", "406.00"),
        "4,809.20",
    ),
    "transfer between zones": Example(
        GOLDEN.format("data_transfer_test") + ": 1,000 GB within a region are billed as 2,000",
        account.transfer_zone_items(BOOK, Decimal(1000)),
        ("20.00",),
        "20.00",
    ),
    "ebs gp3 for half a day": Example(
        f"{EBS}: 2,000 GB, 10,000 IOPS and 500 MB/s for 43,200 s of a 30-day month, at 0.08, "
        "0.005 above 3,000 IOPS and 0.06 above 125 MB/s",
        account.gp3_items(book(ebs_gp3_mb_s_month="0.06"), 2000, 43_200, iops=10_000, mb_per_s=500),
        ("2.667", "0.583", "0.375"),
        "3.625",
        step="0.001",
    ),
    "ebs gp3 for a month": Example(
        GOLDEN.format("ebs_volume_test") + ": 40 GB, 1,000 IOPS and 5 MB/s above those included",
        account.gp3_items(BOOK, 40, 30 * DAY, iops=4000, mb_per_s=130),
        ("3.20", "5.00", "0.20"),
        "8.40",
    ),
    "fsx for a month": Example(
        "https://c3x.dev/resources/aws/aws_fsx_lustre_file_system/: 1.2 TB at 125 MB/s per TiB "
        "is about 174 USD a month; https://aws.amazon.com/fsx/lustre/pricing/: by the second",
        account.fsx_items(BOOK, 1200, 30 * DAY, "PERSISTENT_2_125"),
        ("174.00",),
        "174.00",
    ),
    "dynamodb, on demand": Example(
        "LinkedIn, Amazon DynamoDB Pricing Explained: 650,000 writes and 550,000 reads a month",
        account.ledger_items(BOOK, writes=650_000, reads=550_000),
        ("0.41", "0.07"),
        "0.48",
    ),
    "sqs": Example(
        "https://adhdecode-articles-4.pages.dev/articles/sqs/sqs-cost-per-million-messages-pricing:"
        " 300,000 sends, 3 M receives and 3 M deletes",
        account.sqs_items(BOOK, 300_000 + 3 * MILLION + 3 * MILLION),
        ("2.52",),
        "2.52",
    ),
    "sqs fifo": Example(
        GOLDEN.format("sqs_queue_test") + ": a million requests to a FIFO queue",
        account.sqs_items(BOOK, MILLION, fifo=True),
        ("0.50",),
        "0.50",
    ),
    "eventbridge": Example(
        "https://www.factualminds.com/blog/amazon-eventbridge-pricing-events-pipes-schema-archive/:"
        " 50 M custom events a month",
        account.event_items(BOOK, 50 * MILLION),
        ("50.00",),
        "50.00",
    ),
    "cloudwatch logs": Example(
        "A public design document, prices of eu-west-1: 10 GB taken in at 0.57, 5 of them free, "
        "and 10 GB kept at 0.03",
        account.logs_items(book(logs_gb="0.57"), Decimal(10), Decimal(10), free(5)),
        ("0.00", "2.85", "0.30"),
        "3.15",
    ),
    "nat gateway for a month": Example(
        "https://basavytix.com/blog/aws-nat-gateway-pricing, scenario 1: 730 hours and 500 GB",
        account.nat_items(BOOK, 1, 730 * HOUR, Decimal(500)),
        ("32.85", "22.50"),
        "55.35",
    ),
    "nat gateways in three zones": Example(
        "https://basavytix.com/blog/aws-nat-gateway-pricing, scenario 3: 3 for 730 hours, 20 TB",
        account.nat_items(BOOK, 3, 730 * HOUR, Decimal(20 * 1024)),
        ("98.55", "921.60"),
        "1,020.15",
    ),
    "nat gateway for 75 minutes": Example(
        "https://aws.amazon.com/vpc/pricing/: a begun hour is billed in full; 2 hours at 0.045",
        account.nat_items(BOOK, 1, 75 * 60, Decimal(0)),
        ("0.09",),
        "0.09",
    ),
    "interface endpoints": Example(
        GOLDEN.format("vpc_endpoint_test") + ": two interfaces for 730 hours",
        account.endpoint_items(BOOK, 2, 730 * HOUR, Decimal(0)),
        ("14.60",),
        "14.60",
    ),
    "interface endpoints, all tiers": Example(
        "https://aws.amazon.com/privatelink/pricing/: the first PB at 0.01, the next 4 at 0.006, "
        "what is above 5 PB at 0.004; here 6 PB",
        account.endpoint_items(BOOK, 0, 0, Decimal(6 * 2**20)),
        ("10,485.76", "25,165.82", "4,194.30"),
        "39,845.89",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_worked_example_comes_out(example: Example) -> None:
    assert example.source
    assert tuple(example.rounded(item.usd) for item in example.items) == example.lines
    assert example.rounded(account.total(example.items)) == example.total


def test_a_volume_that_goes_on_in_the_month_pays_the_tier_that_it_has_reached() -> None:
    """GOLDEN lambda_function_test: of 9.216 billion GB-s 3.216 fall into the second tier."""
    month = LambdaMonth({"x86_64": Month(used=Decimal(6_000 * MILLION))})
    call = LambdaCall(1024, 1000, 3_216 * MILLION)
    compute, _ = account.lambda_items(BOOK, [call], month=month)
    assert compute.what == "Lambda compute 1024 MB above 6,000,000,000 GB-s"
    assert compute.usd == 48_240


def test_sizes_of_memory_share_the_tiers_of_an_architecture() -> None:
    calls = [LambdaCall(1024, 1000, 5_000 * MILLION), LambdaCall(2048, 1000, 1_000 * MILLION)]
    small, first, second, _ = account.lambda_items(BOOK, calls)
    parts = [each.quantity / MILLION for each in (small, first, second)]
    assert parts == [5_000, 1_000, 1_000]
    assert second.unit_usd == Decimal("0.000015")


def test_byte_hours_of_two_versions_are_gigabyte_months() -> None:
    """S3 FAQ, versioning: 4 GB for 31 days and 5 GB for 16 days are 6.581 GB-months."""
    byte_hours = 4_294_967_296 * 31 * 24 + 5_368_709_120 * 16 * 24
    assert byte_hours == 5_257_039_970_304
    assert round(account.gb_months(byte_hours, 744), 3) == Decimal("6.581")


def test_request_units_are_those_of_the_dynamodb_pages() -> None:
    """https://aws.amazon.com/dynamodb/pricing/provisioned/, key terms."""
    kb = 1024
    assert [account.write_units(size * kb) for size in (1, 3)] == [1, 3]
    assert account.write_units(3 * kb, transactional=True) == 6
    assert account.read_units(8 * kb, "strong") == 2
    assert account.read_units(8 * kb, "eventual") == 1
    assert account.read_units(8 * kb, "transactional") == 4


def test_a_payload_of_256_kb_is_billed_as_four() -> None:
    """https://aws.amazon.com/sqs/pricing/ and https://aws.amazon.com/eventbridge/pricing/."""
    for count in (account.sqs_requests, account.billed_events):
        sizes_kb = (0, 1, 64, 65, 256)
        assert [count(size * 1024) for size in sizes_kb] == [1, 1, 1, 2, 4]


@pytest.mark.parametrize(
    ("minutes", "reclaimed", "billed_minutes"),
    [(50, True, 0), (50, False, 50), (70, True, 70), (70, False, 70), (0.5, False, 1)],
)
def test_spot_that_aws_takes_back_in_the_first_hour_is_free(
    minutes: float, reclaimed: bool, billed_minutes: int
) -> None:
    """https://aws.amazon.com/ec2/faqs/, Spot; the times are those of course notes on it."""
    price = SpotPrice("c5.large", Decimal("0.06"), "observed", "2026-07-28")
    items = account.spot_items(BOOK, price, minutes * 60, 1, reclaimed=reclaimed)
    assert round(account.total(items), 9) == Decimal("0.001") * billed_minutes


def test_the_disk_of_a_reclaimed_spot_node_is_paid() -> None:
    price = SpotPrice("c5.large", Decimal("0.06"), "observed", "2026-07-28")
    nodes, disk = account.spot_items(BOOK, price, 600, 2, reclaimed=True, disk_gb=20)
    assert nodes.what == "c5.large spot nodes (observed, 2026-07-28)"
    assert nodes.usd == 0
    assert disk.quantity == 2 * 600 * 20


@pytest.mark.parametrize(("seconds", "billed_s"), [(45, 60), (60, 60), (150, 150), (DAY, DAY)])
def test_instances_are_billed_by_the_second_and_for_a_minute_at_least(
    seconds: int, billed_s: int
) -> None:
    """https://aws.amazon.com/ec2/pricing/on-demand/: per second, at least 60 s."""
    nodes, *_ = account.instance_items(BOOK, "c5.large", seconds, 1, launched=True)
    assert nodes.quantity == billed_s
    volume, *_ = account.gp3_items(BOOK, 1, seconds)
    assert volume.quantity == billed_s


@pytest.mark.parametrize(
    ("bill", "name"),
    [
        (lambda b: account.lambda_items(b, [LambdaCall(128, 1)]), "lambda_x86_gb_s"),
        (lambda b: account.lambda_items(b, []), "lambda_request"),
        (lambda b: account.lambda_items(b, []), "lambda_storage_gb_s"),
        (lambda b: account.transition_items(b, 1), "state_transition"),
        (lambda b: account.instance_items(b, "c5.large", 1, 1, launched=True), "c5.large"),
        (lambda b: account.instance_items(b, "c5.large", 1, 1, launched=True), "instance_minimum"),
        (lambda b: account.gp3_items(b, 1, 1), "ebs_minimum_s"),
        (lambda b: account.gp3_items(b, 1, 1, iops=1), "ebs_gp3_iops_month"),
        (lambda b: account.gp3_items(b, 1, 1, mb_per_s=1), "ebs_gp3_mb_s_month"),
        (lambda b: account.fsx_items(b, 1, 1), "fsx_scratch2_gb_month"),
        (lambda b: account.fsx_items(b, 1, 1, "PERSISTENT_2_125"), "fsx_persistent2_125_gb_month"),
        (lambda b: account.s3_request_items(b, put=0, get=1), "s3_put"),
        (lambda b: account.s3_request_items(b, put=1, get=0), "s3_get"),
        (lambda b: account.s3_storage_items(b, Decimal(1)), "s3_gb_month"),
        (lambda b: account.ledger_items(b, writes=1, reads=0), "dynamodb_write"),
        (lambda b: account.ledger_items(b, writes=1, reads=0), "dynamodb_read"),
        (lambda b: account.dynamodb_storage_items(b, Decimal(1)), "dynamodb_gb_month"),
        (lambda b: account.sqs_items(b, 1), "sqs_request"),
        (lambda b: account.sqs_items(b, 1, fifo=True), "sqs_fifo_request"),
        (lambda b: account.event_items(b, 1), "eventbridge_event"),
        (lambda b: account.logs_items(b, Decimal(1)), "logs_gb"),
        (lambda b: account.logs_items(b, Decimal(0), Decimal(1)), "logs_stored_gb_month"),
        (lambda b: account.transfer_out_items(b, Decimal(1)), "transfer_out_gb"),
        (lambda b: account.transfer_zone_items(b, Decimal(1)), "transfer_zone_gb"),
        (lambda b: account.nat_items(b, 1, 1, Decimal(1)), "nat_hour"),
        (lambda b: account.nat_items(b, 1, 1, Decimal(1)), "nat_gb"),
        (lambda b: account.endpoint_items(b, 1, 1, Decimal(1)), "endpoint_hour"),
        (lambda b: account.endpoint_items(b, 1, 1, Decimal(1)), "endpoint_gb"),
    ],
)
def test_a_missing_price_is_an_error_that_names_it(
    bill: Callable[[PriceBook], object], name: str
) -> None:
    without = replace(
        BOOK,
        figures={key: each for key, each in BOOK.figures.items() if not key.startswith(name)},
        instances={key: each for key, each in BOOK.instances.items() if key != name},
    )
    bill(BOOK)
    with pytest.raises(UserError, match=f'has no .* "{name}'):
        bill(without)


quantities = st.decimals(0, 10**12, places=9, allow_nan=False, allow_infinity=False)


@st.composite
def tier_lists(draw: st.DrawFn) -> tuple[Tier, ...]:
    begins = draw(st.lists(st.integers(1, 10**12), max_size=4, unique=True).map(sorted))
    usd = st.decimals(0, 10, places=10, allow_nan=False, allow_infinity=False)
    return tuple(Tier(Decimal(above), draw(usd)) for above in (0, *begins))


def bill(quantity: Decimal, tiers: tuple[Tier, ...], month: Month) -> tuple[Item, ...]:
    return account.tiered_items("x", quantity, "unit", tiers, month)


def quantity_of(items: Iterable[Item]) -> Decimal:
    return sum((item.quantity for item in items), Decimal(0))


@given(quantities, tier_lists(), quantities, quantities)
def test_tiers_neither_lose_nor_gain(
    quantity: Decimal, tiers: tuple[Tier, ...], used: Decimal, free_part: Decimal
) -> None:
    items = bill(quantity, tiers, Month(used, free_part))
    assert quantity_of(items) == quantity
    free_units = min(max(free_part - used, Decimal(0)), quantity)
    assert quantity_of(item for item in items if item.what.endswith("(free)")) == free_units
    assert all(item.usd == 0 for item in items if item.what.endswith("(free)"))


@given(quantities, quantities, tier_lists(), quantities)
def test_a_bill_in_two_parts_is_the_bill_of_the_whole(
    first: Decimal, second: Decimal, tiers: tuple[Tier, ...], used: Decimal
) -> None:
    whole = bill(first + second, tiers, Month(used))
    parts = [*bill(first, tiers, Month(used)), *bill(second, tiers, Month(used + first))]
    assert abs(account.total(whole) - account.total(parts)) <= len(parts) * Decimal("1e-12")


@given(quantities, quantities, tier_lists(), quantities, quantities)
def test_more_never_costs_less(
    quantity: Decimal, more: Decimal, tiers: tuple[Tier, ...], used: Decimal, free_part: Decimal
) -> None:
    month = Month(used, free_part)
    assert account.total(bill(quantity, tiers, month)) <= account.total(
        bill(quantity + more, tiers, month)
    )


@given(quantities, tier_lists())
def test_the_total_is_the_exact_sum_of_the_tiers(
    quantity: Decimal, tiers: tuple[Tier, ...]
) -> None:
    ends = [*(tier.above for tier in tiers[1:]), Decimal("Infinity")]
    parts = [
        max(Decimal(0), min(quantity, end) - tier.above) * tier.usd
        for tier, end in zip(tiers, ends, strict=True)
    ]
    assert abs(account.total(bill(quantity, tiers, Month())) - sum(parts)) <= Decimal("1e-11")


@pytest.mark.parametrize("month", [Month(used=Decimal(-1)), Month(free=Decimal(-1))])
def test_a_negative_quantity_is_a_bug(month: Month) -> None:
    with pytest.raises(ValueError, match="negative"):
        bill(Decimal(1), (Tier(Decimal(0), Decimal(1)),), month)
    with pytest.raises(ValueError, match="negative"):
        bill(Decimal(-1), (Tier(Decimal(0), Decimal(1)),), Month())


@given(st.integers(0, 10**7))
def test_lambda_time_is_never_billed_below_what_it_took_nor_a_millisecond_above(
    microseconds: int,
) -> None:
    billed_us = account.billed_ms(microseconds / 1e6) * 1000
    assert microseconds <= billed_us < microseconds + 1000
