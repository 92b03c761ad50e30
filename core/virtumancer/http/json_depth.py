"""JSON that is nested so deeply that whoever reads it runs out of stack."""

import re

__all__ = ["MAX_DEPTH", "is_too_deep"]

MAX_DEPTH = 100
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[][{}]', re.DOTALL)


def is_too_deep(document: bytes | bytearray) -> bool:
    """Say whether more brackets are open at once than anything of ours has; the document need not be valid."""
    if document.count(b"[") + document.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in TOKEN.finditer(document):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token[0] in (b"]", b"}"):
            depth -= 1
    return False
