"""RunTask: runs one batch of a step's tasks on Lambda."""

import os
from typing import Any

from aws_lambda_powertools import Logger

from runtime.batch import Batch, Call, Part, run_batch
from runtime.clock import now_s, process_started_s
from runtime.requests import Aws
from runtime.settings import from_environment
from runtime.store import Store

logger = Logger(service="trivium")
settings = from_environment()
aws = Aws()
store = Store(aws, settings.bucket)
_warm: set[int] = set()


@logger.inject_lambda_context(clear_state=True)
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Return how many tasks this call has done."""
    started_s = now_s()
    startup_s = 0.0 if os.getpid() in _warm else started_s - process_started_s()
    _warm.add(os.getpid())
    part = Part.from_json(store.get_json(event["part_key"]))
    batch = Batch.from_json(event["batch"])
    logger.append_keys(run=part.keys.run, step=part.keys.step, batch=batch.index)
    call = Call(
        call_id=context.aws_request_id,
        worker=os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")[-8:] + f"-{os.getpid()}",
        started_s=started_s,
        startup_s=startup_s,
        memory_mb=int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        tmp_mb=int(os.environ["TRIVIUM_TMP_MB"]),
        remaining_s=lambda: context.get_remaining_time_in_millis() / 1000,
    )
    done = run_batch(aws, store, part, batch, call, retried=event["retry"] > 0)
    return {"done": done}
