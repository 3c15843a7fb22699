"""`trivium prices`: shows a book, and writes a new one or nothing at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber

from placement.books import (
    PLATFORMS_FILE,
    PRICES_FILE,
    BookStamp,
    Figure,
    default_books,
    load_price_book,
)
from placement.errors import UserError
from placement.price_list.queries import queries
from placement.price_list.refresh import refreshed
from reporting.prices import age_text, price_table, refresh_table
from tests.command import Run, check_refused
from tests.unit.shown import check_golden, shown
from tests.unit.small_prices import FOUND, OLD
from trivium import prices as command
from trivium.books import PRICES_VARIABLE, chosen_books

DATA = Path(__file__).parent / "data" / "price_list"
SMALL_BOOK = """
name: prices-us-east-1
date: "2026-01-15"
region: us-east-1
sources: {guess: a guess}
figures:
  s3_put: {value: 0.000006, unit: USD/request, source: guess, date: "2026-01-15"}
  s3_get: {value: 0.0000004, unit: USD/request, source: guess, date: "2026-01-15"}
  s3_gb_month: {value: 0.023, unit: USD/GB-month, source: guess, date: "2026-01-15"}
  fsx_scratch2_gb_month: {value: 0.14, unit: USD/GB-month, source: guess, date: "2026-01-15"}
  month_s: {value: 2592000, unit: s in a month, source: 30 days, assumed: true}
instances:
  source: guess
  date: "2026-01-15"
  usd_per_hour: {t3.micro: 0.01}
"""
TODAY = date(2026, 11, 21)


@pytest.fixture
def small_book(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_BOOK)
    return path


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = boto3.client(
        "pricing", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    monkeypatch.setattr(command, "price_list_client", lambda: client)
    with Stubber(client) as stubber:
        yield stubber


def answer(name: str) -> dict[str, Any]:
    return dict(json.loads((DATA / f"{name}.json").read_text("utf-8")))


def expect(api: Stubber, book: Path, region: str = "us-east-1") -> None:
    """Answer for every price of the small book from recorded answers, storage on two pages."""
    asked = queries(load_price_book(book.read_text()))
    recorded = {"s3_gb_month": "s3_storage", "t3.micro": "ec2_t3_micro"}
    for name, query in asked.items():
        filters = [
            {"Type": "TERM_MATCH", "Field": field, "Value": value}
            for field, value in query.attributes(region).items()
        ]
        params = {"ServiceCode": query.service, "Filters": filters, "FormatVersion": "aws_v1"}
        whole = answer(recorded.get(name, name))
        if name == "s3_gb_month":
            first, *others = whole["PriceList"]
            page = {**whole, "PriceList": [first], "NextToken": "more"}
            api.add_response("get_products", page, params)
            whole, params = {**whole, "PriceList": others}, {**params, "NextToken": "more"}
        api.add_response("get_products", whole, params)


# show


@pytest.mark.parametrize("width", [80, 120])
def test_a_book_reads_well_in_a_terminal(width: int) -> None:
    long = Figure(
        Decimal("0.14"), "USD/GB-month", "a guess of somebody", "2026-01-15", assumed=True
    )
    book = replace(OLD, figures={**OLD.figures, "fsx_scratch2_gb_month": long})
    check_golden(f"prices_{width}.txt", shown(price_table(book, TODAY), width))


@pytest.mark.parametrize(
    ("written", "age"),
    [
        ("2026-08-22", "91 days old"),
        ("2026-11-20", "1 day old"),
        ("2026-11-21", "0 days old"),
        ("2026", "of unknown age"),
    ],
)
def test_the_age_of_a_book_is_in_days(written: str, age: str) -> None:
    assert age_text(BookStamp("b", written, "us-east-1"), TODAY) == age


def test_the_bundled_book_is_shown_with_its_age_without_any_network(trivium: Run) -> None:
    done = trivium("prices", "show")
    stamp = default_books()[0].stamp
    assert done.code == 0
    assert age_text(stamp, datetime.now(UTC).date()) in done.out
    assert "assumed: the 30-day month" in " ".join(done.out.split())
    assert "hpc7g.16xlarge" in done.out


def test_show_as_json_has_every_price_as_a_decimal_string(trivium: Run) -> None:
    data = json.loads(trivium("prices", "show", "--json").out)
    book = default_books()[0]
    assert set(data["figures"]) == set(book.figures)
    assert set(data["instances"]) == set(book.instances)
    assert data["figures"]["lambda_x86_gb_s"]["value"] == "0.0000166667"
    assert data["figures"]["lambda_x86_gb_s"]["tiers"][0] == {
        "above": "6000000000",
        "value": "0.000015",
    }


def test_show_takes_a_part_of_a_name_and_another_book(trivium: Run, small_book: Path) -> None:
    done = trivium("prices", "show", "s3_", "--book", small_book)
    assert "s3_put" in done.out
    assert "fsx" not in done.out
    assert "guess: a guess" in done.out


# refresh


def test_refresh_writes_a_book_that_reads_and_shows_what_differs(
    trivium: Run, api: Stubber, small_book: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.yaml"
    expect(api, small_book)
    done = trivium("prices", "refresh", "--out", new, "--book", small_book, "--json")
    assert done.code == 0
    api.assert_no_pending_responses()
    book = load_price_book(new.read_text())
    assert book.stamp == BookStamp("prices-us-east-1", "2026-07-28", "us-east-1")
    assert str(book.usd("s3_put")) == "0.000005"
    assert len(book.tiers("s3_gb_month")) == 3
    assert book.instances["t3.micro"].source == "AWS Price List API, AmazonEC2, CRAJUW7BTXFMT2UJ"
    data = json.loads(done.out)
    changes = {each["name"]: each["percent"] for each in data["changed"]}
    assert changes == {"s3_put": "-16.7", "s3_gb_month": "0.0", "t3.micro": "4.0"}
    assert data["unchanged"] == 1
    assert [each["name"] for each in data["kept"]] == ["fsx_scratch2_gb_month"]
    assert set(tmp_path.iterdir()) == {small_book, new}


def test_the_difference_reads_well_in_a_terminal() -> None:
    answers = dict(FOUND)
    del answers["transfer_out_gb"]
    result = refreshed(OLD, "us-east-1", answers)
    check_golden("prices_refreshed_80.txt", shown(refresh_table(result), 80))


def test_a_refreshed_book_can_be_planned_with(
    trivium: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PRICES_FILE.read_text().replace("name: prices-us-east-1", "name: mine"))
    assert chosen_books() == default_books()
    monkeypatch.setenv(PRICES_VARIABLE, str(path))
    prices, platforms = chosen_books()
    assert prices.stamp.name == "mine"
    assert platforms is default_books()[1]
    assert "mine, 2026-08-22" in trivium("prices", "show", "nothing").out
    path.write_text(PRICES_FILE.read_text().replace("region: us-east-1", "region: eu-west-1"))
    with pytest.raises(UserError, match=r"has prices for eu-west-1; .* us-east-1"):
        chosen_books()


def test_without_credentials_nothing_is_written(
    trivium: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    check_refused(trivium("prices", "refresh", "--out", tmp_path / "new.yaml"), "credentials")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), "wants credentials and there are none"),
        (EndpointConnectionError(endpoint_url="https://api"), "Could not connect"),
    ],
)
def test_without_a_network_nothing_is_written(
    trivium: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(command, "price_list_client", object)
    monkeypatch.setattr(command, "products", fail)
    check_refused(trivium("prices", "refresh", "--out", tmp_path / "new.yaml"), words)
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_half_way_leaves_the_old_file_as_it_was(
    trivium: Run, api: Stubber, small_book: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.yaml"
    new.write_text("what was there")
    api.add_response("get_products", answer("s3_put"))
    api.add_client_error("get_products", "AccessDeniedException", "not you")
    done = trivium("prices", "refresh", "--out", new, "--book", small_book)
    check_refused(done, "AccessDeniedException")
    assert new.read_text() == "what was there"
    assert len(list(tmp_path.iterdir())) == 2


def test_prices_of_another_region_are_not_mixed_with_those_of_the_book(
    trivium: Run, api: Stubber, small_book: Path, tmp_path: Path
) -> None:
    expect(api, small_book, "eu-west-1")
    new = tmp_path / "new.yaml"
    done = trivium("prices", "refresh", "--out", new, "--book", small_book, "--region", "eu-west-1")
    check_refused(done, "in eu-west-1 for fsx_scratch2_gb_month")
    assert not new.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "--book", "none.yaml"), "none.yaml cannot be read: No such file"),
        (("show", "--book", "."), "cannot be read: Is a directory"),
        (("show", "--book", str(PLATFORMS_FILE)), "platforms-us-east-1.yaml, line"),
        (("show", "--book", "binary"), "binary is no price book: it is not text in UTF-8"),
        (("refresh", "--out", "."), "is a folder; --out takes the name of a file"),
        (("refresh", "--out", "no/such/new.yaml"), "there is no folder no/such for --out"),
        (("refresh",), "Missing option '--out'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(
    trivium: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    check_refused(trivium("prices", *words), said)
