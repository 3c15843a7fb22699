"""The ledger: one DynamoDB table that records runs, steps, attempts, jobs and clusters.

| partition        | sort                 | what                                             |
|------------------|----------------------|--------------------------------------------------|
| `run#RUN`        | `run`                | the run                                          |
| `run#RUN`        | `step#STEP`          | a step: its waiting set, its token, its progress |
| `run#RUN`        | `attempt#STEP#N#P`   | one part of one attempt, from queueing to charge |
| `run#RUN`        | `control#ID`         | one invocation of a function of the control plane|
| `run#RUN`        | `account`            | what belongs to no step, once the run has ended  |
| `runs`           | `TIME#RUN`           | the list of runs                                 |
| `job#PLATFORM`   | job name             | a job that an agent looks after                  |
| `cluster`        | `PLATFORM`           | what an agent says of its cluster                |
| `held#PLATFORM`  | `TIME#JOB`           | when a job held nodes                            |
| `up#PLATFORM`    | `TIME`               | how many nodes were up from when to when         |
| `claim`          | hash of an upload    | which execution works on an upload (Powertools)  |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from runtime.requests import Aws

_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()
# DynamoDB keeps no number closer to nought ("Supported data types and naming rules", Number).
_SMALLEST = 1e-130


def to_item(value: Any) -> Any:
    """Return a value with its floats as the decimals that DynamoDB stores."""
    if isinstance(value, float):
        return Decimal(repr(value)) if abs(value) >= _SMALLEST else Decimal(0)
    if isinstance(value, Mapping):
        return {key: to_item(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_item(inner) for inner in value]
    return value


def from_item(value: Any) -> Any:
    """Return a value with DynamoDB's decimals as ints and floats."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {key: from_item(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [from_item(inner) for inner in value]
    return value


class Ledger:
    """One table."""

    def __init__(self, aws: Aws, table: str) -> None:
        self.table = table
        self._aws = aws

    @property
    def _dynamodb(self) -> Any:
        return self._aws.client("dynamodb")

    def put(
        self, partition: str, sort: str, fields: Mapping[str, Any], *, new: bool = False
    ) -> bool:
        """Write an item; with `new`, only where there is none. Return whether it was written."""
        item = {"pk": partition, "sk": sort, **fields}
        condition = {"ConditionExpression": "attribute_not_exists(pk)"} if new else {}
        try:
            self._dynamodb.put_item(TableName=self.table, Item=_serialize(item), **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def get(self, partition: str, sort: str) -> dict[str, Any] | None:
        """Return an item as it is now, or None."""
        answer = self._dynamodb.get_item(
            TableName=self.table, Key=_key(partition, sort), ConsistentRead=True
        )
        return _deserialize(answer["Item"]) if "Item" in answer else None

    def swap(self, partition: str, sort: str, fields: Mapping[str, Any], *, revision: int) -> bool:
        """Write an item as the next revision; return False where it is not at `revision` now."""
        item = {"pk": partition, "sk": sort, **fields, "revision": revision + 1}
        try:
            self._dynamodb.put_item(
                TableName=self.table,
                Item=_serialize(item),
                ConditionExpression="revision = :revision",
                ExpressionAttributeValues=_serialize({":revision": revision}),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def query(self, partition: str, prefix: str = "", *, newest: int | None = None) -> list[Any]:
        """Return the items of a partition whose sort key starts with a prefix, in its order.

        With `newest`, only that many, the last of the order first.
        """
        condition, values = "pk = :pk", {":pk": {"S": partition}}
        if prefix:
            condition += " AND begins_with(sk, :sk)"
            values[":sk"] = {"S": prefix}
        return self._pages(condition, values, newest)

    def between(self, partition: str, first: str, last: str) -> list[Any]:
        """Return the items of a partition with sort keys from `first` to `last`, in their order."""
        values = {":pk": {"S": partition}, ":first": {"S": first}, ":last": {"S": last}}
        return self._pages("pk = :pk AND sk BETWEEN :first AND :last", values, None)

    def _pages(self, condition: str, values: Mapping[str, Any], newest: int | None) -> list[Any]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            ScanIndexForward=newest is None,
            PaginationConfig={} if newest is None else {"MaxItems": newest},
        )
        return [_deserialize(item) for page in pages for item in page["Items"]]

    def set(self, partition: str, sort: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields of an item, making it where there is none; return the whole item."""
        return self._update(partition, sort, fields, "#{0} = :{0}")

    def note(self, partition: str, sort: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Set fields of an item as `set` does, but those that are set already stay."""
        return self._update(partition, sort, fields, "#{0} = if_not_exists(#{0}, :{0})")

    def _update(
        self, partition: str, sort: str, fields: Mapping[str, Any], clause: str
    ) -> dict[str, Any]:
        names = {f"#{index}": name for index, name in enumerate(sorted(fields))}
        values = {f":{index}": to_item(fields[name]) for index, name in enumerate(sorted(fields))}
        answer = self._dynamodb.update_item(
            TableName=self.table,
            Key=_key(partition, sort),
            UpdateExpression="SET " + ", ".join(clause.format(i) for i in range(len(names))),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=_serialize(values),
            ReturnValues="ALL_NEW",
        )
        return _deserialize(answer["Attributes"])

    def remove_from_set(
        self, partition: str, sort: str, field: str, members: Iterable[str]
    ) -> dict[str, Any]:
        """Delete members from a string set, harmless when repeated; return the whole item."""
        answer = self._dynamodb.update_item(
            TableName=self.table,
            Key=_key(partition, sort),
            UpdateExpression="DELETE #field :members",
            ExpressionAttributeNames={"#field": field},
            ExpressionAttributeValues={":members": {"SS": sorted(members)}},
            ReturnValues="ALL_NEW",
        )
        return _deserialize(answer["Attributes"])

    def delete(self, partition: str, sort: str) -> None:
        """Delete an item, harmless when repeated."""
        self._dynamodb.delete_item(TableName=self.table, Key=_key(partition, sort))


def _key(partition: str, sort: str) -> dict[str, Any]:
    return {"pk": {"S": partition}, "sk": {"S": sort}}


def _serialize(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _SERIALIZER.serialize(to_item(value)) for name, value in item.items()}


def _deserialize(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: from_item(_DESERIALIZER.deserialize(value)) for name, value in item.items()}
