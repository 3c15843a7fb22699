"""`trivium prices`: shows the price book, and writes a new one from the AWS Price List API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from placement.books import PriceBook, load_price_book
from placement.errors import UserError
from placement.price_list.book_text import price_book_text
from placement.price_list.offers import Offer, Unclear, read_offer
from placement.price_list.queries import Query, queries
from placement.price_list.refresh import refreshed
from reporting.prices import price_json, price_table, refresh_json, refresh_table
from trivium.books import chosen_books, read_price_book
from trivium.console import AsJson, out, print_json, say
from trivium.writing import check_outputs, write_text

API_REGION = "us-east-1"  # one of the few that answer; it knows the prices of all

app = typer.Typer(no_args_is_help=True, help="Shows the price book, or refreshes it from AWS.")
Book = Annotated[
    Path | None,
    typer.Option(help="A price book; without, the one of TRIVIUM_PRICES, or the bundled one."),
]


@app.command()
def show(
    contains: Annotated[str, typer.Argument(help="Only names with this in them.")] = "",
    book: Book = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show every price with its unit, source and date, and how old the book is."""
    prices, today = _book(book), datetime.now(UTC).date()
    if as_json:
        print_json(price_json(prices, today, contains))
    else:
        out.print(price_table(prices, today, contains))


@app.command()
def refresh(
    file: Annotated[Path, typer.Option("--out", help="The new book.")],
    region: Annotated[str | None, typer.Option(help="Whose prices; without, the book's.")] = None,
    book: Book = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Ask AWS for every price of the book, write a new book, and show what differs."""
    old = _book(book)
    check_outputs({"--out": file})
    region = region or old.stamp.region
    result = refreshed(old, region, ask(price_list_client(), old, region))
    text = price_book_text(result.book)
    if load_price_book(text, file.name) != result.book:
        raise RuntimeError("the new book does not read as it was written")
    write_text(file, text)
    if as_json:
        print_json(refresh_json(result))
    else:
        out.print(refresh_table(result))


def price_list_client() -> Any:
    """Return a client of the AWS Price List API. Raises UserError where AWS is set up wrongly."""
    config = Config(connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3})
    try:
        return boto3.Session().client("pricing", region_name=API_REGION, config=config)
    except BotoCoreError as error:
        raise _unreachable(error) from error


def ask(client: Any, book: PriceBook, region: str) -> dict[str, Offer | Unclear]:
    """Return what AWS publishes for every price of a book that can be asked for.

    Raises:
        UserError: AWS cannot be asked, or its answer is not understood.

    """
    asked = queries(book)
    say(f"asking the AWS Price List API for {len(asked)} prices")
    try:
        return {
            name: read_offer(query, products(client, query, region))
            for name, query in asked.items()
        }
    except (BotoCoreError, ClientError) as error:
        raise _unreachable(error) from error


def products(client: Any, query: Query, region: str) -> Iterator[str]:
    """Give the products that AWS has for a query, each as JSON text, over all pages."""
    filters = [
        {"Type": "TERM_MATCH", "Field": name, "Value": value}
        for name, value in query.attributes(region).items()
    ]
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=query.service, Filters=filters, FormatVersion="aws_v1"
    )
    for page in pages:
        yield from page["PriceList"]


def _unreachable(error: Exception) -> UserError:
    if isinstance(error, NoCredentialsError):
        return UserError(
            "the AWS Price List API wants credentials and there are none; log in to AWS, or go on "
            "with the book that there is."
        )
    why = " ".join(str(error).split()).rstrip(".")
    return UserError(f"the AWS Price List API cannot be asked: {why}.")


def _book(path: Path | None) -> PriceBook:
    return chosen_books()[0] if path is None else read_price_book(path)
