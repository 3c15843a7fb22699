"""Which product of the AWS Price List each price of a book is.

Service codes, groups and usage types are those of AWS's offer files. Prices of FSx for Lustre have
no query yet: the product's attributes are not known well enough to tell its deployments apart.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from placement.books import PriceBook

# Usage types begin with the region, except in us-east-1, and there in some services only.
_REGION_PREFIX = re.compile(r"^(?:EU|[A-Z]{3}[0-9])-")


@dataclass(frozen=True, slots=True)
class Query:
    """One product of one service in a region.

    AWS is asked for the region (`region_field` says which attribute holds it) and for `filters`,
    exact attribute values. Of what it answers, products with this `usage` count: the usage type
    without its region; "" is any. `unit` is AWS's unit, "" any; `per` is how many of the book's
    units make one of AWS's.
    """

    service: str
    usage: str
    filters: tuple[tuple[str, str], ...] = ()
    region_field: str = "regionCode"
    unit: str = ""
    per: int = 1

    def attributes(self, region: str) -> dict[str, str]:
        """Return the attribute values that AWS is asked for."""
        return {self.region_field: region, **dict(self.filters)}

    def accepts(self, usage_type: str) -> bool:
        """Return whether a product's usage type is the one that is meant."""
        return self.usage in {"", usage_type, usage_without_region(usage_type)}


def usage_without_region(usage_type: str) -> str:
    """Return a usage type without the region that it may begin with."""
    return _REGION_PREFIX.sub("", usage_type)


def _in_group(service: str, usage: str, group: str) -> Query:
    return Query(service, usage, (("group", group),))


def _gp3(usage: str, unit: str, per: int = 1) -> Query:
    return Query("AmazonEC2", usage, (("volumeApiName", "gp3"),), unit=unit, per=per)


def _transfer(usage: str, kind: str) -> Query:
    filters = (("transferType", kind),)
    return Query("AWSDataTransfer", usage, filters, region_field="fromRegionCode")


FIGURES: Mapping[str, Query] = {
    "lambda_x86_gb_s": _in_group("AWSLambda", "Lambda-GB-Second", "AWS-Lambda-Duration"),
    "lambda_arm_gb_s": _in_group("AWSLambda", "Lambda-GB-Second-ARM", "AWS-Lambda-Duration-ARM"),
    "lambda_request": _in_group("AWSLambda", "Request", "AWS-Lambda-Requests"),
    "lambda_storage_gb_s": _in_group(
        "AWSLambda", "Lambda-Storage-GB-Second", "AWS-Lambda-Storage-Duration"
    ),
    "state_transition": Query("AmazonStates", "StateTransition"),
    "s3_put": _in_group("AmazonS3", "Requests-Tier1", "S3-API-Tier1"),
    "s3_get": _in_group("AmazonS3", "Requests-Tier2", "S3-API-Tier2"),
    "s3_gb_month": Query("AmazonS3", "TimedStorage-ByteHrs", (("volumeType", "Standard"),)),
    "ebs_gp3_gb_month": _gp3("EBS:VolumeUsage.gp3", "GB-Mo"),
    "ebs_gp3_iops_month": _gp3("EBS:VolumeP-IOPS.gp3", "IOPS-Mo"),
    "ebs_gp3_mb_s_month": _gp3("EBS:VolumeP-Throughput.gp3", "GiBps-mo", per=1024),
    "dynamodb_write": _in_group("AmazonDynamoDB", "WriteRequestUnits", "DDB-WriteUnits"),
    "dynamodb_read": _in_group("AmazonDynamoDB", "ReadRequestUnits", "DDB-ReadUnits"),
    "dynamodb_gb_month": Query("AmazonDynamoDB", "TimedStorage-ByteHrs"),
    "sqs_request": Query("AWSQueueService", "Requests-RBP", (("queueType", "Standard"),)),
    "sqs_fifo_request": Query(
        "AWSQueueService", "", (("queueType", "FIFO (first-in, first-out)"),)
    ),
    "eventbridge_event": Query("AWSEvents", "Event-64K-Chunks", (("eventType", "Custom Event"),)),
    "logs_gb": Query("AmazonCloudWatch", "DataProcessing-Bytes"),
    "logs_stored_gb_month": Query("AmazonCloudWatch", "TimedStorage-ByteHrs"),
    "transfer_out_gb": _transfer("DataTransfer-Out-Bytes", "AWS Outbound"),
    "transfer_zone_gb": _transfer("DataTransfer-Regional-Bytes", "IntraRegion"),
    "nat_hour": Query("AmazonEC2", "NatGateway-Hours"),
    "nat_gb": Query("AmazonEC2", "NatGateway-Bytes"),
    "endpoint_hour": Query("AmazonVPC", "VpcEndpoint-Hours"),
    "endpoint_gb": Query("AmazonVPC", "VpcEndpoint-Bytes"),
}


def instance_query(instance_type: str) -> Query:
    """Return the query for a type on demand: Linux, shared tenancy, no licence, no reservation."""
    filters = {
        "instanceType": instance_type,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return Query("AmazonEC2", f"BoxUsage:{instance_type}", tuple(filters.items()), unit="Hrs")


def queries(book: PriceBook) -> dict[str, Query]:
    """Return the query of every price of a book that has one, by figure or instance type."""
    found = {name: FIGURES[name] for name in book.figures if name in FIGURES}
    return found | {name: instance_query(name) for name in book.instances}
