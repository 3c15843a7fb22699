"""Durations, money and sizes as they are typed."""

import contextlib
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.engine.quantities import duration_s, money_usd, size_bytes, uploads
from placement.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5400", 5400),
        ("5400s", 5400),
        ("90m", 5400),
        ("90min", 5400),
        ("1.5h", 5400),
        (" 1.5 H ", 5400),
        (".5s", 0.5),
        ("2d", 172_800),
        ("0.001", 0.001),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("12", 12),
        ("12B", 12),
        ("350MB", 350_000_000),
        ("2GB", 2_000_000_000),
        ("2 gb", 2_000_000_000),
        ("1.5KB", 1500),
        ("1TB", 10**12),
        ("1KiB", 1024),
        ("1.5MiB", 1_572_864),
        ("2GiB", 2 << 30),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "usd"),
    [("2.50", "2.5"), ("$2.50", "2.5"), ("$ 3", "3"), ("2.50 USD", "2.5"), (".05", "0.05")],
)
def test_money(text: str, usd: str) -> None:
    assert money_usd(text) == Decimal(usd)


NOT_NUMBERS = ["", " ", "x", "-1", "+1", "0", "0.0", "nan", "inf", "1e3", "1_000", "1,5", "1..2"]
NOT_NUMBERS += ["٣", "1\n2", "1 2", "9" * 40, "0x10", "1/2", "."]


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "90x", "1h30m", "2GB"])
def test_what_is_no_duration_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError) as raised:
        duration_s(text, "--deadline")
    assert str(raised.value).startswith("--deadline is a number of seconds above 0, or one with s,")
    assert str(raised.value).endswith('".')


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "0.4", "2GBs", "90m", "5M"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--size is a number of bytes above 0, or"):
        size_bytes(text, "--size")


@pytest.mark.parametrize("text", [*NOT_NUMBERS, "2 EUR", "$", "USD"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"^--budget is a number of US dollars above 0"):
        money_usd(text, "--budget")


@pytest.mark.parametrize(
    ("read", "text", "most"),
    [
        (duration_s, "9999999999", "1,000,000,000 s"),
        (size_bytes, "2000000TB", "1,000,000,000,000,000,000 bytes"),
        (money_usd, "10000000000", "1,000,000,000 USD"),
    ],
)
def test_what_is_too_much_names_the_most(
    read: Callable[[str, str], object], text: str, most: str
) -> None:
    with pytest.raises(UserError) as raised:
        read(text, "--it")
    assert str(raised.value) == f'--it may be {most} at the most, not "{text}".'


def test_a_long_text_is_shortened_in_the_message() -> None:
    with pytest.raises(UserError) as raised:
        duration_s("z" * 1000, "--deadline")
    assert len(str(raised.value)) < 200


def test_uploads_of_one_role_are_files_in_their_order() -> None:
    found = uploads(["reads=2GB", "truth=1KB", " reads = 350MB"])
    assert found == {"reads": (2_000_000_000, 350_000_000), "truth": (1000,)}
    assert uploads([]) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2GB", '--upload is ROLE=SIZE, for example reads=2GB, not "2GB".'),
        ("=2GB", '--upload is ROLE=SIZE, for example reads=2GB, not "=2GB".'),
        ("reads=", "SIZE in --upload reads=SIZE is a number of bytes above 0"),
        ("reads=much", 'or one with a unit: 2GB, 350MB or 1.5GiB, not "much".'),
    ],
)
def test_a_wrong_upload_is_refused(text: str, words: str) -> None:
    with pytest.raises(UserError) as raised:
        uploads([text])
    assert words in str(raised.value)


@given(st.integers(1, 10**9))
def test_whole_seconds_are_read_as_they_are(seconds: int) -> None:
    assert duration_s(str(seconds)) == duration_s(f"{seconds}s") == seconds


@given(st.decimals(min_value="0.01", max_value=10**6, places=2))
def test_units_multiply(number: Decimal) -> None:
    assert duration_s(f"{number}m") == float(number * 60)
    assert size_bytes(f"{number}GB") == number * 10**9
    assert money_usd(f"{number}") == number


@pytest.mark.parametrize("read", [duration_s, size_bytes, money_usd])
@given(text=st.text(max_size=60))
def test_any_text_is_read_or_refused(read: Callable[[str], object], text: str) -> None:
    # Anything else that is raised is a bug.
    with contextlib.suppress(UserError):
        read(text)
