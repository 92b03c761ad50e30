"""What schemathesis does not know here: each request has an Idempotency-Key of its own."""

import re
import uuid
from typing import Any

import schemathesis

HEADER = "Idempotency-Key"
VALID = re.compile(r'"[!#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255}')


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Replace a key that could be one; those that are wrong on purpose stay."""
    key = (case.headers or {}).get(HEADER)
    if isinstance(key, str) and VALID.fullmatch(key):
        case.headers[HEADER] = f'"{uuid.uuid4()}"'
