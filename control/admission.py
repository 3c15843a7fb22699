"""Admits an upload as a run, once, however often its event is delivered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from control.catalogue import load_workflow
from control.stack import Stack
from control.upload import Upload, read_upload, waits_for_manifest
from placement.errors import UserError
from runtime.clock import iso, now_s
from runtime.keys import run_id, upload_workflow
from runtime.store import NO_VERSION

# EventBridge delivers an event again for up to 24 hours, and a dead-letter queue keeps it for up
# to 14 days; a claim outlives both.
CLAIM_LIFETIME_S = 30 * 24 * 3600
MAX_NAME = 32
# A ledger item holds 400 KB (DynamoDB, "Service quotas", item size); sizes and fields want some.
MAX_NAMES_BYTES = 300_000
# A manifest names a thousand files at most, each with a key of up to 1,024 bytes.
MAX_MANIFEST_BYTES = 2_000_000


def admit(stack: Stack, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Decide what becomes of an upload event.

    Returns:
        `verdict`: `admitted` (this execution runs it), `refused` (with a `reason`), `waiting` (the
        file belongs to a manifest that is to come) or `duplicate` (another execution has it).

    """
    detail = event["object"]
    bucket, key = detail["bucket"]["name"], detail["object"]["key"]
    if waits_for_manifest(key):
        return {"verdict": "waiting", "run": None, "reason": None}
    version = detail["object"].get("version-id") or _version(stack, key)
    named = version or NO_VERSION
    run = run_id(_name_for_run(key), bucket, key, named)
    owner = claim(stack, context)(
        identity=f"{bucket}\n{key}\n{named}", execution=event["execution"]
    )
    if owner["execution"] != event["execution"]:
        return {"verdict": "duplicate", "run": run, "reason": None}
    try:
        upload = read_upload(key, lambda: _manifest(stack, key, version))
        fields = _run_fields(stack, upload, {key: version})
    except UserError as error:
        _record(stack, run, key, event, {"status": "failed", "reason": str(error)})
        return {"verdict": "refused", "run": run, "reason": str(error)}
    _record(stack, run, key, event, {"status": "running"} | fields)
    return {"verdict": "admitted", "run": run, "reason": None}


def claim(stack: Stack, context: Any) -> Any:
    """Return a function whose every call with one identity returns what its first call did."""
    config = IdempotencyConfig(expires_after_seconds=CLAIM_LIFETIME_S, lambda_context=context)
    store = DynamoDBPersistenceLayer(
        table_name=stack.settings.table,
        key_attr="pk",
        sort_key_attr="sk",
        static_pk_value="claim",
        expiry_attr="expires_at",
        boto3_client=stack.aws.client("dynamodb"),
    )

    @idempotent_function(  # type: ignore[untyped-decorator]
        data_keyword_argument="identity", persistence_store=store, config=config
    )
    def first(*, identity: str, execution: str) -> dict[str, str]:
        return {"execution": execution, "upload": hashlib.sha256(identity.encode()).hexdigest()}

    return first


def _version(stack: Stack, key: str) -> str | None:
    try:
        return stack.store.head(key).version
    except UserError:
        return None  # deleted meanwhile: refused below, with its sentence, when it is read


def _manifest(stack: Stack, key: str, version: str | None) -> bytes:
    size_bytes = stack.store.head(key, version).size_bytes
    if size_bytes > MAX_MANIFEST_BYTES:
        raise UserError(
            f"{key} has {size_bytes} bytes; a manifest has at most {MAX_MANIFEST_BYTES}. "
            "Upload a smaller one."
        )
    return stack.store.get_bytes(key, version=version)


def _name_for_run(key: str) -> str:
    workflow = upload_workflow(key) or ""
    plain = workflow.replace("-", "")
    known_form = plain.isalnum() and plain.isascii() and workflow == workflow.lower()
    return workflow if known_form and len(workflow) <= MAX_NAME else "refused"


def _run_fields(stack: Stack, upload: Upload, versions: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what is recorded of a run; its files in the versions given, else as they are now.

    What is uploaded under the same names later is for other runs.
    """
    workflow = load_workflow(upload.workflow)
    by_role = workflow.assign(upload.files)
    heads = {
        role: [stack.store.head(key, versions.get(key)) for key in keys]
        for role, keys in by_role.items()
    }
    inputs = {role: [list(astuple(head)) for head in found] for role, found in heads.items()}
    names = sum(len(key.encode()) for keys in by_role.values() for key in keys)
    if names > MAX_NAMES_BYTES:
        raise UserError(
            f"The names of the {len(upload.files)} files take {names} bytes, more than a run can "
            f"record ({MAX_NAMES_BYTES}); upload fewer files, or shorter names."
        )
    kind = "probe" if "probe" in upload.options else "run"
    return {"inputs": inputs, "options": upload.options, "kind": kind}


def _record(
    stack: Stack, run: str, key: str, event: Mapping[str, Any], fields: Mapping[str, Any]
) -> None:
    item: dict[str, Any] = {
        "run": run,
        "workflow": upload_workflow(key) or "",
        "upload": key,
        "execution": event["execution"],
        "event_time": event["started_at"],
        "started_s": now_s(),
        **fields,
    }
    if not stack.ledger.put(f"run#{run}", "run", item, new=True):
        # An earlier call of this execution wrote it, and may have died before it was listed.
        item = stack.ledger.get(f"run#{run}", "run") or item
    listed = {"run": run, "workflow": item["workflow"], "upload": key}
    stack.ledger.put("runs", f"{iso(item['started_s'])}#{run}", listed)
