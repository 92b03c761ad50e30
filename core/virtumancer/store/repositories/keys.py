"""Which texts may be the key of a row: what no column can hold is not looked for."""

__all__ = ["may_be_key"]


def may_be_key(text: str, width: int) -> bool:
    """Say whether a column of this width can hold it; the ORM refuses longer ones, PostgreSQL a NUL."""
    return len(text) <= width and "\0" not in text
