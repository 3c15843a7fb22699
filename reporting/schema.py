"""JSON Schemas as they are published beside the modules whose data they describe."""

import json
from typing import Literal

from pydantic import BaseModel

SIGNED_DECIMAL = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}


def published_schema(
    model: type[BaseModel], mode: Literal["validation", "serialization"] = "validation"
) -> str:
    """Write the JSON Schema of what a model reads, or, by `mode`, of what it writes."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(mode=mode),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"
