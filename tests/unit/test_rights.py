"""A document without one right allows all else that it allowed, and that right no more."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.rights.rights import Document

ACTIONS = ("s3:GetObject", "s3:PutObject", "sqs:SendMessage")
RESOURCES = ("arn:aws:s3:::b/raw/*", "arn:aws:s3:::b/runs/*", "arn:aws:sqs:x:1:q")


def some_of(values: tuple[str, ...]) -> st.SearchStrategy[Any]:
    several = st.lists(st.sampled_from(values), min_size=1, unique=True)
    return st.one_of(st.sampled_from(values), several)


STATEMENT = st.fixed_dictionaries(
    {"Effect": st.just("Allow"), "Action": some_of(ACTIONS), "Resource": some_of(RESOURCES)}
)


def document(statements: list[dict[str, Any]]) -> Document:
    return Document("Role", "work", tuple(statements), "role", frozenset({"role"}))


def allowed(statements: list[dict[str, Any]]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for statement in statements:
        actions, resources = (
            [value] if isinstance(value, str) else value
            for value in (statement["Action"], statement["Resource"])
        )
        pairs += itertools.product(actions, resources)
    return sorted(pair for pair in pairs if pair[0] in ACTIONS)


@given(st.lists(STATEMENT, min_size=1, max_size=3))
def test_exactly_one_right_goes(statements: list[dict[str, Any]]) -> None:
    whole = document(statements)
    before = allowed(statements)
    assert sorted((right.action, right.resource) for right in whole.rights()) == before
    for right in whole.rights():
        left = before.copy()
        left.remove((right.action, right.resource))
        assert allowed(whole.without(right)) == left


def test_a_right_covers_what_its_resource_names() -> None:
    resource = "arn:aws:s3:::b/runs/*"
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
    right = document([statement]).rights()[0]
    assert right.allows("s3:GetObject", "arn:aws:s3:::b/runs/x/report.json")
    assert not right.allows("s3:GetObject", "arn:aws:s3:::b/raw/x")
    assert not right.allows("s3:PutObject", "arn:aws:s3:::b/runs/x")
