"""Which books a command works with: those that come with Trivium, or the user's price book."""

from __future__ import annotations

import os
from pathlib import Path

from placement.books import PlatformBook, PriceBook, default_books, load_price_book
from placement.errors import UserError

PRICES_VARIABLE = "TRIVIUM_PRICES"


def chosen_books() -> tuple[PriceBook, PlatformBook]:
    """Return the price book that TRIVIUM_PRICES names, else the bundled one, and the platform book.

    Raises:
        UserError: the file is no price book, or one of another region than the platform book.

    """
    prices, platforms = default_books()
    file = os.environ.get(PRICES_VARIABLE)
    if not file:
        return prices, platforms
    prices = read_price_book(Path(file))
    if prices.stamp.region != platforms.stamp.region:
        raise UserError(
            f"{file} has prices for {prices.stamp.region}; the platforms are described for "
            f"{platforms.stamp.region}, so {PRICES_VARIABLE} must name a book of that region."
        )
    return prices, platforms


def read_price_book(path: Path) -> PriceBook:
    """Read a price book from a file.

    Raises:
        UserError: it cannot be read, or is no price book: one sentence.

    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no price book: it is not text in UTF-8.") from error
    return load_price_book(text, path.name)
