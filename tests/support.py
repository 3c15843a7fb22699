"""What tests stand on: names of a stack in moto's memory, and a clock that stands still."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader

from control.stack import Stack
from runtime.requests import Aws
from runtime.settings import Settings

# Shared, because it keeps the descriptions of the services that it has read.
_LOADER: Loader = botocore.session.Session().get_component("data_loader")
REGION = "us-east-1"
BUCKET = "trivium-test-data"
TABLE = "trivium-test-ledger"
# No test may reach an account, a stack on this machine, or a collector of traces.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_REGION": REGION,
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "Trivium",
    "TRIVIUM_BUCKET": BUCKET,
    "TRIVIUM_TABLE": TABLE,
    "TRIVIUM_MACHINE": "laptop",
    "TRIVIUM_LAMBDA_CONCURRENCY": "4",
    "TRIVIUM_PARTS_AT_ONCE": "1",
    "TRIVIUM_RUN_TASK_FUNCTIONS": '{"1024": "arn:1024", "1769": "arn:1769", "7076": "arn:7076"}',
    "TRIVIUM_STEP_MACHINE": "trivium-step",
    "TRIVIUM_STACK": "trivium",
}


def set_environment(patch: pytest.MonkeyPatch, values: Mapping[str, str]) -> None:
    """Put these values in place of whatever the environment says of AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in values.items():
        patch.setenv(name, value)


def make_stack() -> Stack:
    """Make bucket and table as the template does; call it inside `mock_aws`."""
    core = botocore.session.Session()
    core.register_component("data_loader", _LOADER)
    aws = Aws(boto3.Session(botocore_session=core))
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    return Stack.of(Settings(BUCKET, TABLE), aws)


@dataclass
class FakeClock:
    """Stands in for the module `time` in `runtime.clock`."""

    at_s: float = 1_700_000_000.0

    def time(self) -> float:
        return self.at_s

    def forward(self, seconds: float) -> None:
        self.at_s += seconds
