"""The ledger keeps what is written to it; the store says plainly what is not there."""

import math
import resource
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody
from hypothesis import example, given
from hypothesis import strategies as st

from control.stack import Stack
from placement.errors import UserError
from runtime.ledger import from_item, to_item
from runtime.store import READ_ATTEMPTS, StoredObject

# DynamoDB's numbers have 38 digits and magnitudes from 1e-130 to 1e125; above 2**53 a float that
# comes back as an int may differ from it by less than a float can tell.
numbers = (
    st.integers(-(10**37), 10**37)
    | st.floats(1e-129, 2**53)
    | st.floats(-(2**53), -1e-129)
    | st.just(0.0)
)
values = st.recursive(
    numbers | st.text(max_size=20) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
@example(0.1 + 0.2)
@example(1_700_000_000.123457)
def test_values_come_back_from_dynamodbs_own_types_as_they_went(value: Any) -> None:
    stored = TypeSerializer().serialize(to_item(value))
    assert from_item(TypeDeserializer().deserialize(stored)) == value


def test_whole_numbers_come_back_as_ints_and_others_as_floats() -> None:
    back = from_item({"a": Decimal(3), "b": Decimal("0.25"), "c": [Decimal("1E+2")]})
    assert back == {"a": 3, "b": 0.25, "c": [100]}
    assert [type(back["a"]), type(back["b"]), type(back["c"][0])] == [int, float, int]


@pytest.mark.parametrize("tiny", [1e-131, -5e-324, 1e-300])
def test_a_number_too_small_for_dynamodb_is_stored_as_nought(tiny: float) -> None:
    assert TypeSerializer().serialize(to_item(tiny)) == {"N": "0"}


def test_an_item_is_read_back_whole(stack: Stack) -> None:
    fields = {"f": 0.1, "n": 7, "list": [[1, 2.5]], "map": {"a": None}, "set": {"x", "y"}}
    stack.ledger.put("p", "s", fields)
    assert stack.ledger.get("p", "s") == {"pk": "p", "sk": "s", **fields}


def test_there_is_no_item_where_none_was_put(stack: Stack) -> None:
    assert stack.ledger.get("p", "s") is None


def test_a_new_item_does_not_replace_an_old_one(stack: Stack) -> None:
    assert stack.ledger.put("p", "s", {"a": 1}, new=True)
    assert not stack.ledger.put("p", "s", {"a": 2}, new=True)
    assert stack.ledger.get("p", "s") == {"pk": "p", "sk": "s", "a": 1}


def test_setting_fields_leaves_the_others_alone(stack: Stack) -> None:
    stack.ledger.put("p", "s", {"a": 1, "status": "waiting"})
    after = stack.ledger.set("p", "s", {"status": "running", "b": 2.5})
    assert after == {"pk": "p", "sk": "s", "a": 1, "status": "running", "b": 2.5}
    assert stack.ledger.get("p", "s") == after


def test_what_is_noted_first_stands(stack: Stack) -> None:
    assert stack.ledger.note("p", "s", {"a": 1}) == {"pk": "p", "sk": "s", "a": 1}
    assert stack.ledger.note("p", "s", {"a": 2, "b": 3}) == {"pk": "p", "sk": "s", "a": 1, "b": 3}


def test_an_item_is_swapped_only_while_it_is_at_the_revision_that_was_read(stack: Stack) -> None:
    assert not stack.ledger.swap("p", "s", {"a": 1}, revision=0)
    stack.ledger.put("p", "s", {"a": 0, "revision": 0})
    assert stack.ledger.swap("p", "s", {"a": 1}, revision=0)
    assert not stack.ledger.swap("p", "s", {"a": 2}, revision=0)
    assert stack.ledger.get("p", "s") == {"pk": "p", "sk": "s", "a": 1, "revision": 1}


def test_items_between_two_sort_keys_are_found_both_included(stack: Stack) -> None:
    for sort in ("a", "b", "c", "d"):
        stack.ledger.put("p", sort, {})
    assert [item["sk"] for item in stack.ledger.between("p", "b", "c")] == ["b", "c"]


def test_members_are_deleted_from_a_set_once_and_again(stack: Stack) -> None:
    stack.ledger.put("p", "s", {"waiting": {"a", "b"}})
    assert stack.ledger.remove_from_set("p", "s", "waiting", ["a"])["waiting"] == {"b"}
    assert stack.ledger.remove_from_set("p", "s", "waiting", ["a"])["waiting"] == {"b"}
    # DynamoDB has no empty set: with the last member the field goes.
    assert "waiting" not in stack.ledger.remove_from_set("p", "s", "waiting", ["b"])
    assert "waiting" not in stack.ledger.remove_from_set("p", "s", "waiting", ["b"])


def test_a_query_returns_more_than_one_page_in_order(stack: Stack) -> None:
    long = "x" * 300_000  # DynamoDB answers with at most 1 MB at a time
    for number in range(6):
        stack.ledger.put("p", f"step#{number}", {"long": long})
    stack.ledger.put("p", "run", {})
    assert [item["sk"] for item in stack.ledger.query("p", "step#")] == [
        f"step#{number}" for number in range(6)
    ]
    assert len(stack.ledger.query("p")) == 7
    assert stack.ledger.query("other") == []


def test_the_newest_come_last_first(stack: Stack) -> None:
    for day in ("2026-01-01", "2026-01-03", "2026-01-02"):
        stack.ledger.put("runs", day, {})
    assert [item["sk"] for item in stack.ledger.query("runs", newest=2)] == [
        "2026-01-03",
        "2026-01-02",
    ]


def test_deleting_is_harmless_when_repeated(stack: Stack) -> None:
    stack.ledger.put("p", "s", {})
    stack.ledger.delete("p", "s")
    stack.ledger.delete("p", "s")
    assert stack.ledger.get("p", "s") is None


HARD_KEYS = ["raw/w/a b.txt", "raw/w/a+b%20c.txt", "raw/w/naïve_ _日本語 🧬.txt", "raw/w/a#?&=.txt"]


@pytest.mark.parametrize("key", HARD_KEYS)
def test_hard_keys_go_in_and_come_out(stack: Stack, key: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"content")
    assert stack.store.upload(source, key) == StoredObject(key, 7)
    stack.store.download(key, target)
    assert target.read_bytes() == b"content"
    assert stack.store.head(key).size_bytes == 7
    assert list(stack.store.listing("raw/")) == [StoredObject(key, 7)]
    assert StoredObject(key, 7).name == key.split("/")[2]


def test_a_span_is_read_without_its_end(stack: Stack) -> None:
    stack.store.put_text("k", "0123456789", "text/plain")
    assert stack.store.get_bytes("k", (2, 5)) == b"234"
    assert stack.store.get_bytes("k", (9, 10)) == b"9"


def broken_off(stack: Stack, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Have so many answers end in the middle of their bodies."""
    left = iter(range(times))
    read = StreamingBody.read

    def broken(body: StreamingBody, amt: int | None = None) -> bytes:
        whole = read(body, amt)
        if next(left, None) is not None:
            raise IncompleteReadError(actual_bytes=len(whole) // 2, expected_bytes=len(whole))
        return whole

    stack.store.put_text("k", "0123456789", "text/plain")
    monkeypatch.setattr(StreamingBody, "read", broken)


def test_an_answer_that_breaks_off_is_asked_for_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(stack, monkeypatch, READ_ATTEMPTS - 1)
    assert stack.store.get_bytes("k") == b"0123456789"


def test_answers_that_keep_breaking_off_are_told_of(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(stack, monkeypatch, READ_ATTEMPTS)
    with pytest.raises(IncompleteReadError):
        stack.store.get_bytes("k")


def test_a_file_is_brought_whole_or_not_at_all(stack: Stack, tmp_path: Path) -> None:
    stack.store.put_text("k", "0123456789" * 100, "text/plain")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # as if the disk were full
    try:
        with pytest.raises(OSError, match="large"):
            stack.store.download("k", tmp_path / "here", 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_object_is_named_in_one_sentence(stack: Stack, tmp_path: Path) -> None:
    for read in (
        lambda: stack.store.get_bytes("raw/w/a b"),
        lambda: stack.store.get_json("raw/w/a b"),
        lambda: stack.store.head("raw/w/a b"),
        lambda: stack.store.download("raw/w/a b", tmp_path / "x"),
    ):
        with pytest.raises(UserError, match=f"s3://{stack.store.bucket}/raw/w/a b; upload"):
            read()
    assert stack.store.find("raw/w/a b") is None


def test_a_versioned_object_has_its_version_and_size(stack: Stack) -> None:
    stack.store.put_text("k", "one", "text/plain")
    first = stack.store.head("k")
    stack.store.put_text("k", "three", "text/plain")
    second = stack.store.head("k")
    assert (first.size_bytes, second.size_bytes) == (3, 5)
    assert stack.store.head("k", first.version) == first != second


@pytest.mark.parametrize("size_bytes", [3, None], ids=["in one request", "by the transfer manager"])
def test_the_version_that_is_asked_for_comes_whatever_came_later(
    stack: Stack, tmp_path: Path, size_bytes: int | None
) -> None:
    stack.store.put_text("k", "one", "text/plain")
    version = stack.store.head("k").version
    stack.store.put_text("k", "three", "text/plain")
    stack.aws.client("s3").delete_object(Bucket=stack.store.bucket, Key="k")
    assert stack.store.get_bytes("k", version=version) == b"one"
    stack.store.download("k", tmp_path / "k", size_bytes, version)
    assert (tmp_path / "k").read_text() == "one"


def test_a_version_that_is_not_there_is_a_missing_object(stack: Stack, tmp_path: Path) -> None:
    stack.store.put_text("k", "one", "text/plain")
    for read in (
        lambda: stack.store.get_bytes("k", version="none-such"),
        lambda: stack.store.download("k", tmp_path / "k", None, "none-such"),
    ):
        with pytest.raises(UserError, match=f"s3://{stack.store.bucket}/k; upload"):
            read()


def test_many_objects_come_in_the_order_of_their_keys(stack: Stack) -> None:
    keys = [f"k/{number:03d}" for number in range(40)]
    for number, key in enumerate(keys):
        stack.store.put_json(key, number)
    assert stack.store.get_all_json(keys) == list(range(40))
    assert [stored.key for stored in stack.store.listing("k/")] == keys


def test_json_is_written_the_same_for_the_same_value(stack: Stack) -> None:
    stack.store.put_json("a", {"b": 1, "a": math.pi})
    stack.store.put_json("b", {"a": math.pi, "b": 1})
    assert stack.store.get_bytes("a") == stack.store.get_bytes("b")
