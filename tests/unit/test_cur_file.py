"""Cost and Usage Reports: read to the last digit, or refused in one sentence."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import boto3
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from billing.cur_file import read_lines
from billing.line import COLUMNS, BilledLine, tag_key
from placement.errors import UserError
from tests.unit import cur_sample as sample

DOCS = Path(__file__).parents[2] / "docs"
ROWS = sample.export(sample.report())
WRITERS = {
    "cur.csv": sample.write_csv,
    "cur.csv.gz": sample.write_csv,
    "cur.snappy.parquet": sample.write_parquet,
}
type Edit = Callable[[str], str]


def lines(*paths: Path) -> list[BilledLine]:
    return list(read_lines(paths))


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        lines(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    return said.removeprefix(str(path))


@pytest.mark.parametrize("name", WRITERS)
def test_every_form_of_an_export_reads_as_the_same_lines(tmp_path: Path, name: str) -> None:
    found = lines(WRITERS[name](tmp_path / name, ROWS))
    assert len(found) == len(ROWS)
    assert [line.usd for line in found] == [row["line_item_unblended_cost"] for row in ROWS]
    node = next(line for line in found if line.resource == "i-0123456789abcdef0")
    assert node == BilledLine(
        account=sample.ACCOUNT,
        region="us-east-1",
        line_type="Usage",
        start=datetime(2026, 8, 20, 14, tzinfo=UTC),
        end=datetime(2026, 8, 20, 15, tzinfo=UTC),
        product="AmazonEC2",
        usage_type="BoxUsage:c7i.xlarge",
        resource="i-0123456789abcdef0",
        quantity=Decimal("0.0225"),
        unit="Hrs",
        usd=Decimal("0.00401625"),
        tags={"trivium_stack": "trivium"},
    )


@given(st.decimals(-1_000, 1_000, places=10))
def test_a_double_stands_for_the_decimal_that_aws_wrote(usd: Decimal) -> None:
    assert Decimal(repr(float(usd))) == usd


def test_the_files_of_one_export_are_read_one_after_another(tmp_path: Path) -> None:
    first = sample.write_csv(tmp_path / "cur-00001.csv.gz", ROWS[:3])
    second = sample.write_parquet(tmp_path / "cur-00002.parquet", ROWS[3:])
    assert len(lines(first, second)) == len(ROWS)


def test_a_file_is_not_counted_twice(tmp_path: Path) -> None:
    path = sample.write_csv(tmp_path / "cur.csv", ROWS)
    with pytest.raises(UserError, match="is named twice"):
        lines(path, tmp_path / "." / "cur.csv")


def test_tag_keys_are_the_same_in_all_their_spellings() -> None:
    written = ["trivium:run", "user:trivium:run", "user_trivium_run"]
    assert {tag_key(key) for key in written} == {"trivium_run"}
    assert tag_key("aws:cloudformation:stack-name") == "aws_cloudformation_stack_name"


def test_a_byte_order_mark_and_quoted_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    row = ROWS[0] | {"line_item_line_item_description": 'first,\r\n"second"'}
    path = sample.write_csv(tmp_path / "cur.csv", [row, ROWS[1]])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(lines(path)) == 2


# Files that are refused


@pytest.mark.parametrize("left_bytes", [0.3, 0.6, 0.99])
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, name: str, left_bytes: float) -> None:
    path = WRITERS[name](tmp_path / name, ROWS)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left_bytes)])
    assert " is cut off or damaged (" in refused(path)


def test_a_file_that_lost_its_last_line_end_is_refused(tmp_path: Path) -> None:
    path = sample.write_csv(tmp_path / "cur.csv", ROWS)
    path.write_bytes(path.read_bytes().removesuffix(b"\r\n"))
    assert "a line has no end" in refused(path)


@pytest.mark.parametrize("name", ["cur.csv.gz", "cur.snappy.parquet"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, ROWS)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 40):
        data[at] ^= 0xFF
    path.write_bytes(data)
    assert "damaged" in refused(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\x00\xff",
        b"PK\x03\x04zip",
        b"hello\n",
        gzip.compress(b"hello\n", mtime=0),
    ],
)
def test_what_is_neither_parquet_nor_csv_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "cur"
    path.write_bytes(data)
    assert "neither Parquet nor CSV" in refused(path)


def test_a_report_of_the_old_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cur.csv"
    path.write_text("identity/LineItemId,lineItem/UsageAccountId\nx,1\n")
    assert refused(path).startswith(" is a Cost and Usage Report of the old kind")


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("gone", [["line_item_resource_id"], ["pricing_unit", "resource_tags"]])
def test_missing_columns_are_named(tmp_path: Path, name: str, gone: list[str]) -> None:
    if name.endswith("parquet"):
        path = sample.write_parquet(tmp_path / name, ROWS)
        parquet.write_table(parquet.read_table(path).drop_columns(gone), path)
    else:
        path = tmp_path / name
        text = ",".join(column for column in COLUMNS if column not in gone) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    said = refused(path)
    assert f" lacks the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}; " in said
    assert ("INCLUDE_RESOURCES" in said) == (len(gone) == 1)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("line_item_currency_code", "CNY", "it is in CNY; Trivium counts in USD only"),
        ("line_item_currency_code", "", "it is in no currency"),
        ("line_item_unblended_cost", "", "line_item_unblended_cost is empty"),
        ("line_item_unblended_cost", "0,1", "line_item_unblended_cost is '0,1', which is no"),
        ("line_item_unblended_cost", "NaN", "line_item_unblended_cost is NaN"),
        ("line_item_unblended_cost", "1e99", "line_item_unblended_cost is 1e99"),
        ("line_item_usage_amount", "Infinity", "line_item_usage_amount is Infinity"),
        ("line_item_usage_start_date", "yesterday", "is 'yesterday', which is no moment"),
        ("line_item_usage_end_date", "2020-01-01T00:00:00Z", "is before line_item_usage_start"),
        ("line_item_line_item_type", "", "line_item_line_item_type is empty"),
        ("resource_tags", "{", "resource_tags is '{', which is no JSON"),
        ("resource_tags", "[1]", "resource_tags is no map"),
        ("resource_tags", "1", "resource_tags is no map"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    rows = [ROWS[0], ROWS[1] | {column: value}]
    assert f", line 3: {said}" in refused(sample.write_csv(tmp_path / "cur.csv", rows)).replace(
        f"{column} {said}", said
    )


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert " cannot be read: No such file" in refused(tmp_path / "none.csv")
    assert " is a folder" in refused(tmp_path)


@pytest.mark.parametrize("name", ["cur.csv.gz", "cur.snappy.parquet"])
def test_an_export_is_not_held_in_memory(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, ROWS * 600)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_lines([path])) == 600 * len(ROWS)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 14 << 20  # a batch of rows in Parquet; all lines take 18 MB


def test_a_file_without_line_ends_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "cur.csv.gz"
    path.write_bytes(gzip.compress(b"x" * (16 << 20)))
    assert "field larger than field limit" in refused(path)
    path.write_bytes(gzip.compress(",".join(COLUMNS).encode() + b"\n" + b"x," * (4 << 20)))
    assert "damaged" in refused(path)


def test_the_command_loads_no_parquet_until_there_is_one() -> None:
    code = "import sys, trivium.cli; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_export_that_the_page_recommends_has_every_column_and_is_understood_by_aws() -> None:
    export = json.loads((DOCS / "cur-export.json").read_text("utf-8"))
    query = export["DataQuery"]["QueryStatement"]
    found = re.fullmatch(r"SELECT (.+) FROM COST_AND_USAGE_REPORT", query)
    assert found is not None
    assert set(COLUMNS) <= set(found[1].split(", "))
    client = boto3.client(
        "bcm-data-exports", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    shape = client.meta.service_model.operation_model("CreateExport").input_shape
    assert ParamValidator().validate({"Export": export}, shape).generate_report() == ""
