"""The single rights of a deployed stack: read from its policies, taken away, given back."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.requests import Aws

# What a policy may always say: it allows nothing that is not allowed anyway.
NOTHING = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}


@dataclass(frozen=True, order=True)
class Right:
    """One action on one resource, as one statement allows it.

    `owner` is the logical id of the role or managed policy in the template; `policy` names the
    document: an inline policy's name, or a managed policy's ARN.
    """

    owner: str
    policy: str
    statement: int
    action: str
    resource: str

    def allows(self, action: str, resource: str) -> bool:
        """Return whether this right allows the action on the resource."""
        return action == self.action and _matches(self.resource, resource)


@dataclass(frozen=True)
class Document:
    """A policy document as it is deployed, and the principals whose rights it says."""

    owner: str
    policy: str
    statements: tuple[dict[str, Any], ...]
    role: str | None  # None: a managed policy
    holders: frozenset[str]  # names of roles and users

    def rights(self) -> list[Right]:
        """Return every single right."""
        return [
            Right(self.owner, self.policy, number, action, resource)
            for number, statement in enumerate(self.statements)
            if statement["Effect"] == "Allow"
            for action in _texts(statement["Action"])
            for resource in _texts(statement["Resource"])
        ]

    def without(self, right: Right) -> list[dict[str, Any]]:
        """Return the statements without this one right."""
        left = list(self.statements)
        taken = left.pop(right.statement)
        actions, resources = _texts(taken["Action"]), _texts(taken["Resource"])
        others = [action for action in actions if action != right.action]
        elsewhere = [resource for resource in resources if resource != right.resource]
        if others:
            left.append(taken | {"Action": others})
        if elsewhere:
            left.append(taken | {"Action": right.action, "Resource": elsewhere})
        return left or [NOTHING]


def documents(root: Aws, stack: str) -> list[Document]:
    """Return every document that gives rights to a role of the stack, or to its users.

    Raises:
        ValueError: a role has a policy that the template does not write out.

    """
    pages = root.client("cloudformation").get_paginator("list_stack_resources")
    listed = [
        entry
        for page in pages.paginate(StackName=stack)
        for entry in page["StackResourceSummaries"]
    ]
    of_type = {
        kind: {
            r["PhysicalResourceId"]: r["LogicalResourceId"]
            for r in listed
            if r["ResourceType"] == kind
        }
        for kind in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
    }
    iam = root.client("iam")
    found, holders = [], {arn: set[str]() for arn in of_type["AWS::IAM::ManagedPolicy"]}
    for role, owner in of_type["AWS::IAM::Role"].items():
        for attached in iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
            if attached["PolicyArn"] not in holders:
                raise ValueError(f"{owner} has {attached['PolicyName']}, which nobody can narrow.")
            holders[attached["PolicyArn"]].add(role)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            said = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            found.append(Document(owner, name, _statements(said), role, frozenset({role})))
    for arn, owner in of_type["AWS::IAM::ManagedPolicy"].items():
        users = iam.list_entities_for_policy(PolicyArn=arn)["PolicyUsers"]
        who = holders[arn] | {user["UserName"] for user in users}
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        said = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        found.append(Document(owner, arn, _statements(said), None, frozenset(who)))
    return sorted(found, key=lambda document: (document.owner, document.policy))


@contextlib.contextmanager
def taken(root: Aws, document: Document, right: Right) -> Iterator[None]:
    """Take a right away, and give it back at the end."""
    iam = root.client("iam")
    lesser, whole = _json(document.without(right)), _json(document.statements)
    if document.role is not None:
        name = {"RoleName": document.role, "PolicyName": document.policy}
        iam.put_role_policy(**name, PolicyDocument=lesser)
        try:
            yield
        finally:
            iam.put_role_policy(**name, PolicyDocument=whole)
        return
    _replace(iam, document.policy, lesser)
    try:
        yield
    finally:
        _replace(iam, document.policy, whole)


def _replace(iam: Any, policy: str, said: str) -> None:
    """Give a managed policy another document: a new version in place of the one in force."""
    before = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=said, SetAsDefault=True)
    iam.delete_policy_version(PolicyArn=policy, VersionId=before)


def _statements(document: Mapping[str, Any] | str) -> tuple[dict[str, Any], ...]:
    said = json.loads(document) if isinstance(document, str) else document
    return tuple(said["Statement"])


def _json(statements: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _matches(pattern: str, resource: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, resource) is not None
