"""Requests are counted as they are sent, in the classes in which AWS bills them."""

import threading
from collections import Counter
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from control.stack import Stack
from runtime.requests import Aws, RequestCount, billing_class


def test_s3_requests_are_counted_by_their_billing_class(stack: Stack, tmp_path: Path) -> None:
    before = stack.aws.requests.snapshot()
    stack.store.put_json("a", {})  # PUT
    stack.store.upload(_file(tmp_path, b"x"), "b")  # PUT
    stack.store.get_json("a")  # GET
    stack.store.head("a")  # GET class
    list(stack.store.listing(""))  # LIST: PUT class
    stack.aws.client("s3").delete_object(Bucket=stack.store.bucket, Key="a")  # free
    assert stack.aws.requests.since(before) == {"s3_get": 2, "s3_put": 3}


def test_an_upload_in_parts_is_billed_for_every_part(stack: Stack, tmp_path: Path) -> None:
    before = stack.aws.requests.snapshot()
    stack.store.upload(_file(tmp_path, bytes(17 * 1024 * 1024)), "big")
    # boto3 cuts at 8 MiB: create, three parts, complete
    assert stack.aws.requests.since(before) == {"s3_put": 5}


def test_an_object_of_known_and_moderate_size_moves_in_one_request(
    stack: Stack, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 2**16  # 16 MiB
    before = stack.aws.requests.snapshot()
    stored = stack.store.upload(_file(tmp_path, content), "b")
    stack.store.download_all([(stored, tmp_path / "back")])
    assert stack.aws.requests.since(before) == {"s3_get": 1, "s3_put": 1}
    assert (tmp_path / "back").read_bytes() == content


def test_ledger_requests_are_counted_as_writes_and_reads(stack: Stack) -> None:
    before = stack.aws.requests.snapshot()
    stack.ledger.put("p", "s", {"a": 1})
    stack.ledger.set("p", "s", {"a": 2})
    stack.ledger.remove_from_set("p", "s", "waiting", ["x"])
    stack.ledger.delete("p", "s")
    stack.ledger.get("p", "s")
    stack.ledger.query("p")
    assert stack.aws.requests.since(before) == {"dynamodb_read": 2, "dynamodb_write": 4}


def test_a_refused_conditional_put_is_billed_too(stack: Stack) -> None:
    stack.ledger.put("p", "s", {}, new=True)
    before = stack.aws.requests.snapshot()
    assert not stack.ledger.put("p", "s", {}, new=True)
    assert stack.aws.requests.since(before) == {"dynamodb_write": 1}


def test_queue_requests_are_all_of_one_class(stack: Stack) -> None:
    sqs = stack.aws.client("sqs")
    before = stack.aws.requests.snapshot()
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="m")
    sqs.receive_message(QueueUrl=url)
    assert stack.aws.requests.since(before) == {"sqs": 3}


def test_a_failed_request_is_counted(stack: Stack) -> None:
    before = stack.aws.requests.snapshot()
    with pytest.raises(ClientError):
        stack.aws.client("s3").get_object(Bucket=stack.store.bucket, Key="none")
    assert stack.aws.requests.since(before) == {"s3_get": 1}


def test_step_functions_and_logs_are_not_billed_by_request() -> None:
    assert billing_class("stepfunctions", "SendTaskSuccess") is None
    assert billing_class("logs", "PutLogEvents") is None


def test_every_s3_operation_named_here_exists() -> None:
    from runtime.requests import DYNAMODB_WRITES, S3_FREE, S3_PUT_CLASS  # noqa: PLC0415

    session = botocore.session.get_session()
    assert set(session.get_service_model("s3").operation_names) >= S3_PUT_CLASS | S3_FREE
    assert set(session.get_service_model("dynamodb").operation_names) >= DYNAMODB_WRITES


def test_counts_do_not_lose_requests_of_other_threads() -> None:
    count = RequestCount()

    def add_many() -> None:
        for _ in range(2_000):
            count.add("sqs", "SendMessage")

    threads = [threading.Thread(target=add_many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.snapshot() == Counter(sqs=16_000)


def test_what_is_on_record_is_not_counted_again() -> None:
    count = RequestCount()
    count.add("s3", "GetObject")
    before = count.snapshot()
    count.add("s3", "PutObject")
    count.forget_since(before)
    assert count.since(Counter()) == {"s3_get": 1}


def test_a_snapshot_does_not_grow() -> None:
    count = RequestCount()
    before = count.snapshot()
    count.add("s3", "GetObject")
    assert before == Counter()


def test_clients_are_made_once(stack: Stack) -> None:
    aws = stack.aws
    assert aws.client("s3") is aws.client("s3")
    assert aws.client("s3") is not aws.client("sqs")


def test_two_processes_worth_of_clients_count_apart(stack: Stack) -> None:
    other = Aws()
    with Stubber(other.client("sqs")):
        stack.aws.client("sqs").list_queues()
    assert other.requests.snapshot() == Counter()


def _file(folder: Path, content: bytes) -> Path:
    path = folder / f"{len(content)}.bin"
    path.write_bytes(content)
    return path
