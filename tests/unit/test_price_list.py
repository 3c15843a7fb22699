"""The AWS Price List: what is asked, how answers are read, and the book that comes of them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.books import BookStamp, Figure, PriceBook, Tier, default_books, load_price_book
from placement.errors import UserError
from placement.price_list.book_text import price_book_text
from placement.price_list.offers import Offer, Unclear, read_offer
from placement.price_list.queries import FIGURES, Query, instance_query, queries
from placement.price_list.refresh import refreshed
from tests.unit.small_prices import FOUND, OLD, offer, tiers

DATA = Path(__file__).parent / "data" / "price_list"
BOOK, _ = default_books()
type Dimension = tuple[str, str, str]  # begin, end, USD


def recorded(name: str) -> list[str]:
    answer: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return list(answer["PriceList"])


def product(usage: str, *dimensions: Dimension, sku: str = "SKU", unit: str = "GB") -> str:
    priced = {
        f"{sku}.JRTCKXETXF.{at}": {
            "unit": unit,
            "beginRange": begin,
            "endRange": end,
            "pricePerUnit": {"USD": usd},
        }
        for at, (begin, end, usd) in enumerate(dimensions)
    }
    term = {"effectiveDate": "2026-11-01T00:00:00Z", "priceDimensions": priced}
    return json.dumps(
        {
            "product": {"sku": sku, "attributes": {"usagetype": usage}},
            "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": term}},
            "publicationDate": "2026-11-20T10:00:00Z",
        }
    )


# What is asked


def test_every_price_of_the_bundled_book_but_those_of_fsx_can_be_asked_for() -> None:
    prices = {name for name, each in BOOK.figures.items() if each.unit.startswith("USD")}
    assert {name for name in prices if name not in FIGURES} == {
        "fsx_scratch2_gb_month",
        "fsx_persistent2_125_gb_month",
    }
    assert set(FIGURES) <= prices
    assert set(queries(BOOK)) == {*FIGURES, *BOOK.instances}


def test_an_instance_is_asked_for_on_demand_with_linux_and_nothing_else() -> None:
    assert instance_query("c5.large").attributes("eu-west-1") == {
        "regionCode": "eu-west-1",
        "instanceType": "c5.large",
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }


@pytest.mark.parametrize(
    ("usage_type", "accepted"),
    [
        ("TimedStorage-ByteHrs", True),
        ("USE1-TimedStorage-ByteHrs", True),
        ("EU-TimedStorage-ByteHrs", True),
        ("APN2-TimedStorage-ByteHrs", True),
        ("IA-TimedStorage-ByteHrs", False),
        ("EU-IA-TimedStorage-ByteHrs", False),
        ("TimedStorage-SIA-ByteHrs", False),
    ],
)
def test_a_usage_type_counts_with_and_without_its_region(usage_type: str, accepted: bool) -> None:
    assert Query("Service", "TimedStorage-ByteHrs").accepts(usage_type) is accepted


# How answers are read


def test_the_tiers_of_a_recorded_answer_are_read_in_order_and_other_products_left() -> None:
    assert read_offer(FIGURES["s3_gb_month"], recorded("s3_storage")) == Offer(
        tiers(("0", "0.023"), ("51200", "0.022"), ("512000", "0.021")),
        "AWS Price List API, AmazonS3, WP9ANXZGBYYSGJEA",
        "2026-07-28",
    )


def test_a_recorded_price_per_request_is_not_that_of_a_thousand() -> None:
    found = read_offer(FIGURES["s3_put"], recorded("s3_put"))
    assert isinstance(found, Offer)
    assert found.tiers == tiers(("0", "0.000005"))


def test_a_recorded_instance_is_read_and_its_reservations_are_not() -> None:
    assert read_offer(instance_query("t3.micro"), recorded("ec2_t3_micro")) == Offer(
        tiers(("0", "0.0104")), "AWS Price List API, AmazonEC2, CRAJUW7BTXFMT2UJ", "2026-03-20"
    )


def test_the_answer_in_the_api_reference_is_read() -> None:
    query = Query("AmazonEC2", "EBS:VolumeUsage.piops", unit="GB-Mo")
    found = read_offer(query, recorded("ebs_io1"))
    assert isinstance(found, Offer)
    assert (found.tiers, found.date) == (tiers(("0", "0.138")), "2017-09-01")


def test_throughput_is_converted_from_gibibytes_per_second() -> None:
    answer = product("EBS:VolumeP-Throughput.gp3", ("0", "Inf", "40.96"), unit="GiBps-mo")
    found = read_offer(FIGURES["ebs_gp3_mb_s_month"], [answer])
    assert isinstance(found, Offer)
    assert found.tiers == tiers(("0", "0.04"))


def test_a_free_tier_at_the_beginning_is_left_out() -> None:
    answer = product("TimedStorage-ByteHrs", ("25", "Inf", "0.25"), ("0", "25", "0.0000000000"))
    found = read_offer(FIGURES["dynamodb_gb_month"], [answer])
    assert isinstance(found, Offer)
    assert found.tiers == tiers(("0", "0.25"))


def test_the_same_price_twice_is_one() -> None:
    twice = [
        product("USE1-DataProcessing-Bytes", ("0", "Inf", "0.50"), sku="B"),
        product("DataProcessing-Bytes", ("0", "Inf", "0.5"), sku="A"),
    ]
    found = read_offer(FIGURES["logs_gb"], twice)
    assert isinstance(found, Offer)
    assert found.source == "AWS Price List API, AmazonCloudWatch, A"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([], "no product has it"),
        ([product("VendedLog-Bytes", ("0", "Inf", "0.5"))], "no product has it"),
        (
            [
                product("DataProcessing-Bytes", ("0", "Inf", "0.5"), sku="A"),
                product("DataProcessing-Bytes", ("0", "Inf", "0.6"), sku="B"),
            ],
            "2 products differ in it",
        ),
        ([product("DataProcessing-Bytes", ("0", "Inf", "0"))], "it costs nothing"),
        ([product("DataProcessing-Bytes")], "it has no price in USD"),
        ([product("DataProcessing-Bytes", ("1", "Inf", "1"))], "its volume tiers have gaps"),
        (
            [product("DataProcessing-Bytes", ("0", "10", "2"), ("20", "Inf", "1"))],
            "its volume tiers have gaps",
        ),
        ([product("DataProcessing-Bytes", ("0", "10", "2"))], "its volume tiers have gaps"),
    ],
)
def test_where_there_is_no_single_price_it_says_why(answers: list[str], why: str) -> None:
    assert read_offer(FIGURES["logs_gb"], answers) == Unclear(why)


@pytest.mark.parametrize(
    "answer",
    [
        "{",
        "[]",
        "{}",
        product("x", ("0", "Inf", "cheap")),
        product("x", ("0", "Inf", "-1")),
        product("x", ("0", "Inf", "1")).replace("usagetype", "usage"),
        product("x", ("0", "Inf", "1")).replace("2026-11-20T", "yesterday "),
    ],
)
def test_an_answer_in_another_shape_is_an_error_that_names_the_service(answer: str) -> None:
    with pytest.raises(UserError, match=r"answered for AmazonCloudWatch in an unknown shape"):
        read_offer(FIGURES["logs_gb"], [answer])


# The book that comes of them


def test_a_refreshed_book_has_the_new_prices_with_their_source_and_date() -> None:
    result = refreshed(OLD, "us-east-1", FOUND)
    assert result.book.stamp == BookStamp("prices-us-east-1", "2026-11-20", "us-east-1")
    assert result.book.usd("logs_gb") == Decimal("0.4")
    assert result.book.figures["logs_gb"].unit == "USD/GB"
    assert result.book.figures["logs_gb"].source == "AWS Price List API, Service, SKU"
    assert result.book.instances["c5.xlarge"].date == "2026-11-19"
    assert result.book.figures["month_s"] == OLD.figures["month_s"]
    assert [(each.name, each.new.value) for each in result.changed] == [
        ("logs_gb", Decimal("0.4")),
        ("c5.xlarge", Decimal("0.16")),
    ]
    assert (result.unchanged, result.kept) == (2, ())


def test_a_changed_tier_is_a_change() -> None:
    result = refreshed(OLD, "us-east-1", {**FOUND, "transfer_out_gb": offer("0.09")})
    assert "transfer_out_gb" in [each.name for each in result.changed]


def test_what_was_not_found_keeps_its_price_source_and_date_and_says_why() -> None:
    answers = {**FOUND, "logs_gb": Unclear("no product has it")}
    del answers["c5.large"]
    result = refreshed(OLD, "us-east-1", answers)
    assert result.book.figures["logs_gb"] == OLD.figures["logs_gb"]
    assert [(each.name, each.why) for each in result.kept] == [
        ("logs_gb", "no product has it"),
        ("c5.large", "how to ask for it is not known"),
    ]
    assert result.book.sources == {"src": "somewhere"}


def test_another_region_wants_every_price_and_names_those_that_are_missing() -> None:
    book = refreshed(OLD, "eu-west-1", FOUND).book
    assert (book.stamp.name, book.stamp.region) == ("prices-eu-west-1", "eu-west-1")
    with pytest.raises(UserError, match=r"in eu-west-1 for logs_gb, .* are for us-east-1\.$"):
        refreshed(OLD, "eu-west-1", {**FOUND, "logs_gb": Unclear("no product has it")})
    with pytest.raises(UserError, match=r"and [0-9]+ others, and those"):
        refreshed(BOOK, "eu-west-1", {"logs_gb": offer("0.5")})


def test_a_region_that_aws_has_no_price_for_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no price of the book in mars-1\.$"):
        refreshed(OLD, "mars-1", dict.fromkeys(FOUND, Unclear("no product has it")))


# Its text


@pytest.mark.parametrize("book", [BOOK, OLD, refreshed(OLD, "us-east-1", FOUND).book])
def test_a_book_reads_as_it_was_written(book: PriceBook) -> None:
    assert load_price_book(price_book_text(book)) == book


prices = st.decimals(0, 10**6, places=10, allow_nan=False, allow_infinity=False)
words = st.text("a1: #,{}[]&*!|>'\"%@`\\\\é\N{RIGHTWARDS ARROW}", min_size=1)


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    begins = draw(st.lists(st.integers(1, 10**9), unique=True, max_size=3).map(sorted))
    steps = tuple(Tier(Decimal(begin), draw(prices)) for begin in begins)
    return Figure(draw(prices), draw(words), draw(words), draw(words), draw(st.booleans()), steps)


@given(st.dictionaries(st.sampled_from(sorted(FIGURES)), figures(), max_size=3), words)
def test_any_book_reads_as_it_was_written(book_figures: dict[str, Figure], text: str) -> None:
    book = PriceBook(BookStamp(text, "2026-11-20", "us-east-1"), book_figures, {}, {"s": text})
    assert load_price_book(price_book_text(book)) == book
