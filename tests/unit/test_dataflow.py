"""A step starts when all its predecessors are settled, in any order, however often repeated."""

from collections.abc import Iterable
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from control.stack import Stack
from runtime.dataflow import (
    release_successors,
    send_failure,
    send_heartbeat,
    send_success,
    stop_waiting,
    store_token,
)
from runtime.ledger import Ledger
from runtime.requests import Aws

RUN = "w-0123456789ab"


class MemoryLedger:
    """The two updates that the protocol uses, each atomic, as DynamoDB's are."""

    def __init__(self, waiting: dict[str, set[str]]) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}
        for step, before in waiting.items():
            key = (f"run#{RUN}", f"step#{step}")
            self.items[key] = {"pk": key[0], "sk": key[1]} | (
                {"waiting": set(before)} if before else {}
            )

    def set(self, partition: str, sort: str, fields: dict[str, Any]) -> dict[str, Any]:
        item = self.items[partition, sort]
        item |= fields
        return dict(item)

    def remove_from_set(
        self, partition: str, sort: str, field: str, members: Iterable[str]
    ) -> dict[str, Any]:
        item = self.items[partition, sort]
        left = item.get(field, set()) - set(members)
        item.pop(field, None)
        if left:
            item[field] = left
        return dict(item)


class Tokens:
    """Step Functions as far as tokens go: remembers what was sent, and what is settled then."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.error: str | None = None

    def client(self, _: str) -> "Tokens":
        return self

    def send_task_success(self, *, taskToken: str, output: str) -> None:  # noqa: N803 - AWS's name
        assert output == "{}"
        self._answer(taskToken)

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> None:  # noqa: N803
        assert len(error) <= 256
        assert len(cause) <= 32_768
        self.failed.append((taskToken, cause))
        self._answer(taskToken)

    def send_task_heartbeat(self, *, taskToken: str) -> None:  # noqa: N803
        self._answer(taskToken)

    def _answer(self, token: str) -> None:
        if self.error is not None:
            raise ClientError({"Error": {"Code": self.error, "Message": ""}}, "SendTask")
        self.sent.append(token)


@st.composite
def dags(draw: st.DrawFn) -> dict[str, set[str]]:
    """Draw a graph: every step's predecessors, all of them earlier."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 7)))]
    return {
        name: draw(st.sets(st.sampled_from(names[:number]))) if number else set()
        for number, name in enumerate(names)
    }


@given(dags(), st.data())
def test_any_interleaving_starts_every_step_after_its_predecessors(
    before: dict[str, set[str]], data: st.DataObject
) -> None:
    """Await and Settle of all steps in any order that may happen, each any number of times."""
    ledger, tokens = MemoryLedger(before), Tokens()
    after = {name: sorted(n for n in before if name in before[n]) for name in before}
    awaited: set[str] = set()
    settling: set[str] = set()
    settled: set[str] = set()
    checked = 0
    while settled != set(before):
        may_await = [f"await {name}" for name in before]
        started = {token.removeprefix("token ") for token in tokens.sent}
        may_settle = [f"settle {name}" for name in sorted(started)]
        fresh = [f"await {name}" for name in before if name not in awaited]
        fresh += [f"settle {name}" for name in sorted(started - settled)]
        action = data.draw(st.sampled_from(fresh) | st.sampled_from(may_await + may_settle))
        verb, name = action.split()
        if verb == "await":
            store_token(cast("Aws", tokens), cast("Ledger", ledger), RUN, name, f"token {name}")
            awaited.add(name)
        else:
            settling.add(name)
            # A call that dies half-way has told only some of the successors.
            told = after[name]
            if data.draw(st.booleans(), label="dies"):
                told = told[: data.draw(st.integers(0, len(told)))]
            release_successors(cast("Aws", tokens), cast("Ledger", ledger), RUN, name, told)
            if told == after[name]:
                settled.add(name)
        for token in tokens.sent[checked:]:
            assert before[token.removeprefix("token ")] <= settling
        checked = len(tokens.sent)
    assert {token.removeprefix("token ") for token in tokens.sent} == set(before)


def given_steps(stack: Stack, before: dict[str, set[str]], **more: str) -> None:
    for step, waiting in before.items():
        fields = more | ({"waiting": waiting} if waiting else {})
        stack.ledger.put(f"run#{RUN}", f"step#{step}", fields)


def test_a_diamond_runs_on_a_real_table(stack: Stack) -> None:
    before = {"a": set[str](), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}
    given_steps(stack, before)
    tokens = Tokens()
    aws = cast("Aws", tokens)
    for step in ("d", "b", "a"):
        store_token(aws, stack.ledger, RUN, step, step)
    assert tokens.sent == ["a"]
    release_successors(aws, stack.ledger, RUN, "a", ["b", "c"])
    assert tokens.sent == ["a", "b"]
    release_successors(aws, stack.ledger, RUN, "b", ["d"])
    assert tokens.sent == ["a", "b"]
    store_token(aws, stack.ledger, RUN, "c", "c")
    assert tokens.sent == ["a", "b", "c"]
    release_successors(aws, stack.ledger, RUN, "c", ["d"])
    assert tokens.sent == ["a", "b", "c", "d"]


def test_the_moment_at_which_a_step_became_ready_is_kept_once(stack: Stack) -> None:
    given_steps(stack, {"a": set()})
    aws = cast("Aws", Tokens())
    store_token(aws, stack.ledger, RUN, "a", "first")
    item = stack.ledger.get(f"run#{RUN}", "step#a") or {}
    store_token(aws, stack.ledger, RUN, "a", "second")
    again = stack.ledger.get(f"run#{RUN}", "step#a") or {}
    assert again["ready_s"] == item["ready_s"]
    assert again["token"] == "second"


def test_a_failed_run_ends_every_wait_and_starts_nothing_any_more(stack: Stack) -> None:
    before = {"a": set[str](), "b": {"a"}, "c": {"b"}, "d": {"b"}}
    given_steps(stack, before, status="waiting")
    stack.ledger.set(f"run#{RUN}", "step#a", {"status": "failed"})
    tokens = Tokens()
    aws = cast("Aws", tokens)
    store_token(aws, stack.ledger, RUN, "b", "b")
    for _ in range(2):
        stop_waiting(aws, stack.ledger, RUN, "The run failed: it is so.")
    assert tokens.failed == [("b", "The run failed: it is so.")]
    # Await of a step may come after the failure, and Settle of a predecessor as well.
    store_token(aws, stack.ledger, RUN, "c", "c")
    assert tokens.failed[1:] == [("c", "The run failed: it is so.")]
    release_successors(aws, stack.ledger, RUN, "a", ["b"])
    assert tokens.sent == ["b", "c"]
    statuses = [item["status"] for item in stack.ledger.query(f"run#{RUN}", "step#")]
    assert statuses == ["failed", "stopped", "stopped", "stopped"]


@pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
def test_a_token_whose_wait_is_over_is_no_error(code: str) -> None:
    tokens = Tokens()
    tokens.error = code
    aws = cast("Aws", tokens)
    assert not send_success(aws, "t", {})
    assert not send_failure(aws, "t", "E", "because")
    assert not send_heartbeat(aws, "t")


def test_any_other_refusal_is_an_error() -> None:
    tokens = Tokens()
    tokens.error = "AccessDeniedException"
    with pytest.raises(ClientError, match="AccessDenied"):
        send_success(cast("Aws", tokens), "t", {})


def test_a_failure_is_cut_to_what_step_functions_takes() -> None:
    tokens = Tokens()
    assert send_failure(cast("Aws", tokens), "t", "E" * 1_000, "because " * 10_000)
    assert send_heartbeat(cast("Aws", tokens), "t")
    assert tokens.sent == ["t", "t"]
