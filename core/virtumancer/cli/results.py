"""What actions answer, as the command line shows it."""

from typing import Any

import msgspec

__all__ = ["shown_result"]


def shown_result(result: Any) -> str:
    """Show the result of an operation in one line; empty for one that has none."""
    if isinstance(result, dict) and result:
        fields: dict[str, Any] = msgspec.convert(result, dict[str, Any])
        return ", ".join(f"{name}={_value(value)}" for name, value in fields.items())
    return "" if result in (None, {}) else _value(result)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
