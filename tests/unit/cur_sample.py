"""A CUR 2.0 export as AWS shapes it, made from a run's report, with lines that are not the run's.

What is billed as what is written down here by hand, apart from the code that reads it. Usage types
are those of AWS's price list.
"""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from pyarrow import Table, float64, map_, parquet, schema, string, timestamp

from placement.account import (
    Item,
    LambdaCall,
    event_items,
    instance_items,
    lambda_items,
    ledger_items,
    s3_request_items,
    sqs_items,
    total,
    transition_items,
)
from placement.books import default_books

GOLDEN = Path(__file__).parent / "golden" / "report.json"
ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
REGION, STACK, RUN = "us-east-1", "trivium", "read-clustering-5f2c00aa11bb"
HOUR = datetime(2026, 8, 20, 14, tzinfo=UTC)
NODE = "c7i.xlarge"
SUFFIX = "AbCdEf012345"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{STACK}-%s-{SUFFIX}"
BUCKET = f"{STACK}-data-{ACCOUNT}-{REGION}"
# Every column that the sample has, and its type in Parquet; AWS has some hundred more.
COLUMNS = {
    "bill_bill_type": string(),
    "bill_billing_period_start_date": timestamp("ms"),
    "bill_payer_account_id": string(),
    "identity_line_item_id": string(),
    "identity_time_interval": string(),
    "line_item_line_item_description": string(),
    "line_item_line_item_type": string(),
    "line_item_operation": string(),
    "line_item_product_code": string(),
    "line_item_resource_id": string(),
    "line_item_unblended_cost": float64(),
    "line_item_currency_code": string(),
    "line_item_usage_account_id": string(),
    "line_item_usage_amount": float64(),
    "line_item_usage_end_date": timestamp("ms"),
    "line_item_usage_start_date": timestamp("ms"),
    "line_item_usage_type": string(),
    "pricing_unit": string(),
    "product_region_code": string(),
    "resource_tags": map_(string(), string()),
}
Row = dict[str, Any]


def report(run: str = RUN, minute: int = 3) -> dict[str, Any]:
    """Return a report whose items are as the account names them: Lambda, Ray, control plane."""
    prices, _ = default_books()
    calls = [LambdaCall(1024, 3_500, count=8, tmp_mb=10_240)]
    lambda_step = (
        *lambda_items(prices, calls),
        *transition_items(prices, 18),
        *s3_request_items(prices, put=16, get=24),
    )
    ray_step = (
        *instance_items(prices, NODE, 40.5, 2, launched=False),
        *transition_items(prices, 2),
        *sqs_items(prices, 3),
        *s3_request_items(prices, put=5, get=9),
    )
    control = (
        *lambda_items(
            prices, [LambdaCall(512, 410, count=3), LambdaCall(1024, 700)], "Control functions"
        ),
        *transition_items(prices, 22),
        *s3_request_items(prices, put=6, get=4),
        *ledger_items(prices, writes=41, reads=Decimal("12.5")),
        *sqs_items(prices, 4),
        *event_items(prices, 1),
    )
    data: dict[str, Any] = copy.deepcopy(json.loads(GOLDEN.read_text("utf-8")))
    data |= {"run": run, "machine": {"kind": "aws", "note": ""}}
    data["started_at"] = (HOUR + timedelta(minutes=minute)).isoformat()
    data["ended_at"] = (HOUR + timedelta(minutes=minute + 1)).isoformat()
    data["steps"] = data["steps"][:2]
    for step, items in zip(data["steps"], (lambda_step, ray_step), strict=True):
        account = {"items": [item.to_json() for item in items], "usd": f"{total(items):f}"}
        step["items"], step["measured"]["usd"] = account["items"], account["usd"]
        step["attempts"] = [step["attempts"][-1] | account]
    data["shared_items"] = []
    data["other_items"] = [item.to_json() for item in control]
    measured = total((*lambda_step, *ray_step, *control))
    data["measured"]["usd"] = f"{measured:f}"
    return data


def items_of(data: Mapping[str, Any]) -> list[Item]:
    """Return all items of a report."""
    every = [item for step in data["steps"] for item in step["items"]] + data["other_items"]
    return [Item.from_json(item) for item in every]


def export(data: Mapping[str, Any]) -> list[Row]:
    """Return what AWS would bill if it counted as Trivium does, hour by hour, and much besides."""
    return [*billed(items_of(data)), *not_measured(), *noise(), later()]


def billed(items: Iterable[Item]) -> list[Row]:
    """Return a line for each item, on the resource that brings it, at AWS's ten decimals."""
    return [usage(*_BILLED_AS[_key(item)], item) for item in items]


def _key(item: Item) -> str:
    if item.what.startswith("Control functions compute"):
        return "Control functions compute"
    return item.what


def _table(name: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{STACK}-{name}-{SUFFIX}"


# Product, usage type, AWS's unit, how many of the item's units make one of AWS's, resource.
_BILLED_AS: dict[str, tuple[str, str, str, int, str]] = {
    "Lambda compute 1024 MB": (
        "AWSLambda", "Lambda-GB-Second", "Lambda-GB-Second", 1, FUNCTION % "RunTask1024"
    ),
    "Lambda requests": ("AWSLambda", "Request", "Requests", 1, FUNCTION % "RunTask1024"),
    "Lambda /tmp above 512 MB": (
        "AWSLambda", "Lambda-Storage-GB-Second", "Lambda-GB-Second", 1, FUNCTION % "RunTask1024"
    ),
    "Control functions compute": (
        "AWSLambda", "Lambda-GB-Second", "Lambda-GB-Second", 1, FUNCTION % "Admit"
    ),
    "Control functions requests": ("AWSLambda", "Request", "Requests", 1, FUNCTION % "Admit"),
    "Step Functions transitions": (
        "AmazonStates", "USE1-StateTransition", "StateTransitions", 1,
        f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{STACK}-step",
    ),
    "S3 PUT": ("AmazonS3", "Requests-Tier1", "Requests", 1, BUCKET),
    "S3 GET": ("AmazonS3", "Requests-Tier2", "Requests", 1, BUCKET),
    f"{NODE} nodes": ("AmazonEC2", f"BoxUsage:{NODE}", "Hrs", 3600, "i-0123456789abcdef0"),
    "DynamoDB writes": (
        "AmazonDynamoDB", "WriteRequestUnits", "WriteRequestUnits", 1, _table("Ledger")
    ),
    "DynamoDB reads": (
        "AmazonDynamoDB", "ReadRequestUnits", "ReadRequestUnits", 1, _table("Ledger")
    ),
    "SQS requests": (
        "AWSQueueService", "Requests-RBP", "Requests", 1,
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:{STACK}-RayQueue-{SUFFIX}",
    ),
    "EventBridge events": (
        "AWSEvents", "USE1-Event-64K-Chunks", "64K-Chunks", 1,
        f"arn:aws:s3:::{BUCKET}",
    ),
}  # fmt: skip


def usage(product: str, usage_type: str, unit: str, per: int, resource: str, item: Item) -> Row:
    """Return an item as a line of usage."""
    exact = Decimal(round(item.quantity / per, 15))
    tagged = {} if product != "AmazonEC2" else {"user_trivium_stack": STACK}
    cost = round(item.usd, 10)
    return line(product, usage_type, resource, exact, cost, unit=unit, tags=tagged)


def line(
    product: str,
    usage_type: str,
    resource: str,
    quantity: Decimal,
    usd: Decimal,
    *,
    unit: str = "",
    kind: str = "Usage",
    start: datetime = HOUR,
    lasts: timedelta = timedelta(hours=1),
    account: str = ACCOUNT,
    region: str = REGION,
    tags: Mapping[str, str] | None = None,
) -> Row:
    """Return one line of an export."""
    return {
        "bill_bill_type": "Anniversary",
        "bill_billing_period_start_date": start.replace(day=1, hour=0),
        "bill_payer_account_id": account,
        "identity_line_item_id": f"{product}/{usage_type}/{resource}/{start:%d%H}/{kind}",
        "identity_time_interval": f"{_iso(start)}/{_iso(start + lasts)}",
        "line_item_line_item_description": f"{usage_type} of {product}, by the price list",
        "line_item_line_item_type": kind,
        "line_item_operation": "",
        "line_item_product_code": product,
        "line_item_resource_id": resource,
        "line_item_unblended_cost": usd,
        "line_item_currency_code": "USD",
        "line_item_usage_account_id": account,
        "line_item_usage_amount": quantity,
        "line_item_usage_end_date": start + lasts,
        "line_item_usage_start_date": start,
        "line_item_usage_type": usage_type,
        "pricing_unit": unit,
        "product_region_code": region,
        "resource_tags": dict(tags or {}),
    }


def not_measured() -> list[Row]:
    """Return lines of the run's resources and hour that Trivium has no item for."""
    logs = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{STACK}-FunctionLogs-{SUFFIX}"
    return [
        line("AmazonCloudWatch", "USE1-DataProcessing-Bytes", logs, _d("0.0002"), _d("0.0001"),
             unit="GB"),
        line("AWSLambda", "Lambda-GB-Second", FUNCTION % "Report", _d("1.5"), _d("0.0000250001"),
             unit="Lambda-GB-Second"),
        line("AWSLambda", "Request", FUNCTION % "Report", _d(1), _d("0.0000002"), unit="Requests"),
    ]  # fmt: skip


def noise() -> list[Row]:
    """Return lines that are not the run's: one for each reason, and a tax without a resource."""
    lambda_gb_s = ("AWSLambda", "Lambda-GB-Second")
    own = FUNCTION % "RunTask1024"
    return [
        line(*lambda_gb_s, own.replace(ACCOUNT, OTHER_ACCOUNT), _d(9), _d("0.00015"),
             account=OTHER_ACCOUNT),
        line(*lambda_gb_s, own, _d(9), _d("0.00015"), region="eu-west-1"),
        line(*lambda_gb_s, own, _d(9), _d("0.00015"), start=HOUR - timedelta(hours=1)),
        line(*lambda_gb_s, own.replace(STACK, "trivium-test"), _d(9), _d("0.00015")),
        line("AmazonEC2", "BoxUsage:m7i.large", "i-0fedcba9876543210", _d(1), _d("0.1008")),
        line("AmazonEC2", f"BoxUsage:{NODE}", "i-0aaaaaaaaaaaaaaaa", _d(1), _d("0.1785"),
             tags={"user_trivium_stack": STACK, "user_trivium_run": "word-count-000000000000"}),
        line("AmazonS3", "TimedStorage-ByteHrs", BUCKET, _d("0.5"), _d("0.0115"),
             start=HOUR.replace(hour=0), lasts=timedelta(days=1), unit="GB-Mo"),
        line("AmazonEC2", "", "", _d(1), _d("0.47"), kind="Tax", region="",
             start=HOUR.replace(day=1, hour=0), lasts=timedelta(days=31)),
    ]  # fmt: skip


def later() -> Row:
    """Return usage of another resource, days after the run: the export is complete."""
    start = HOUR + timedelta(days=3)
    return line("AmazonS3", "Requests-Tier2", "someone-elses", _d(10), _d("0.000004"), start=start)


def write_csv(path: Path, rows: Iterable[Row]) -> Path:
    """Write rows as AWS writes CSV; gzipped where the name ends so."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(COLUMNS), quoting=csv.QUOTE_MINIMAL)
    writer.writeheader()
    writer.writerows({name: _csv(value) for name, value in row.items()} for row in rows)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_parquet(path: Path, rows: Iterable[Row]) -> Path:
    """Write rows as AWS writes Parquet: figures as doubles, tags as a map."""
    plain = [{name: _parquet(value) for name, value in row.items()} for row in rows]
    parquet.write_table(Table.from_pylist(plain, schema=schema(COLUMNS)), path)
    return path


def _csv(value: Any) -> str:
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _parquet(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, Decimal):
        return float(value)
    return list(value.items()) if isinstance(value, dict) else value


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.000Z}"


def _d(value: str | int) -> Decimal:
    return Decimal(value)
