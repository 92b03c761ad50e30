"""The OpenAPI 3.1 document: written from the route table, the Structs, and what the plugins add."""

from virtumancer.http.openapi.document import build_document
from virtumancer.http.openapi.resource import OpenAPIResource

__all__ = ["OpenAPIResource", "build_document"]
