"""Money: measured or estimated quantities times the price book, one module per service.

Every function takes quantities and a book and returns items; nothing here asks a clock or AWS.
"""

from placement.account.aws_lambda import LambdaCall, LambdaMonth, billed_ms, lambda_items
from placement.account.dynamodb import (
    dynamodb_storage_items,
    ledger_items,
    read_units,
    write_units,
)
from placement.account.ec2 import (
    SpotPrice,
    gp3_item,
    gp3_items,
    instance_items,
    node_item,
    spot_items,
)
from placement.account.eventbridge import billed_events, event_items
from placement.account.fsx import fsx_items
from placement.account.items import (
    QUANTITY_STEP,
    USD_STEP,
    Item,
    Month,
    decimal_text,
    item,
    merge_items,
    tiered_items,
    total,
)
from placement.account.logs import logs_items
from placement.account.network import (
    endpoint_items,
    nat_items,
    transfer_out_items,
    transfer_zone_items,
)
from placement.account.s3 import gb_months, s3_request_items, s3_storage_items
from placement.account.sqs import sqs_items, sqs_requests
from placement.account.step_functions import transition_items

__all__ = [
    "QUANTITY_STEP",
    "USD_STEP",
    "Item",
    "LambdaCall",
    "LambdaMonth",
    "Month",
    "SpotPrice",
    "billed_events",
    "billed_ms",
    "decimal_text",
    "dynamodb_storage_items",
    "endpoint_items",
    "event_items",
    "fsx_items",
    "gb_months",
    "gp3_item",
    "gp3_items",
    "instance_items",
    "item",
    "lambda_items",
    "ledger_items",
    "logs_items",
    "merge_items",
    "nat_items",
    "node_item",
    "read_units",
    "s3_request_items",
    "s3_storage_items",
    "spot_items",
    "sqs_items",
    "sqs_requests",
    "tiered_items",
    "total",
    "transfer_out_items",
    "transfer_zone_items",
    "transition_items",
    "write_units",
]
