"""What schemathesis does not know here: keys are used once, and a VM named `db` has only its UUID for a path."""

import re
import uuid
from typing import Any

import schemathesis

HEADER = "Idempotency-Key"
ONE_VM = "/api/v1/hosts/{host}/vms/{vm}"
VALID = re.compile(r'"[!#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255}')


@schemathesis.hook
def before_call(_context: Any, case: Any, _options: Any) -> None:
    """Replace a key that could be one; those that are wrong on purpose stay."""
    key = (case.headers or {}).get(HEADER)
    if isinstance(key, str) and VALID.fullmatch(key):
        case.headers[HEADER] = f'"{uuid.uuid4()}"'
    # The document has another operation at this very path, which goes before one with a parameter.
    if case.path == ONE_VM and (case.path_parameters or {}).get("vm") == "db":
        case.path_parameters["vm"] = "web"
