"""The named schemas of the document: ours under their own names, those of a plugin under the plugin's."""

import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import structlog

from virtumancer.schema.json_schema import Schemas, schemas_of

__all__ = ["REF", "Components", "component_name"]

log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(__name__)

REF = "#/components/schemas/"
TEMPLATE = REF + "{name}"
Schema = dict[str, Any]


def component_name(text: str) -> str:
    """Make a name that a component may have."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


class Components:
    """Collects the schemas; `schema` finds the one of a type that was added before."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self._problems: dict[int, str] = {}
        self._of: dict[tuple[int, bool], Schema] = {}

    def add(self, answers: Sequence[Any], bodies: Sequence[Any]) -> None:
        """Take in the types of the base API."""
        found = schemas_of(answers, bodies, TEMPLATE)
        self.schemas |= found.components
        self._remember(answers, bodies, found)

    def add_plugin(self, plugin: str, answers: Sequence[Any], bodies: Sequence[Any]) -> None:
        """Take in the types of a plugin; one that cannot be described is left open, and `problem` says why."""
        answers = self._describable(plugin, answers, sent=False)
        bodies = self._describable(plugin, bodies, sent=True)
        try:
            found = _plain(schemas_of(answers, bodies, TEMPLATE))
        except Exception as error:  # noqa: BLE001 - each for itself could be described, all together cannot
            for kind in (*answers, *bodies):
                self._note(plugin, kind, error)
            return
        names = self._names_for(plugin, found.components)
        found = _renamed(found, {REF + old: REF + new for old, new in names.items()})
        for old, new in names.items():
            self.schemas.setdefault(new, found.components[old])
        self._remember(answers, bodies, found)

    def schema(self, kind: Any, *, sent: bool = False) -> Schema:
        """Return the schema of a type, as it is answered or as it is sent; an open one when there is none."""
        return dict(self._of.get((id(kind), sent), {}))

    def problem(self, *kinds: Any) -> str:
        """Say why one of these types has no schema, empty when all have one."""
        return next((self._problems[id(kind)] for kind in kinds if id(kind) in self._problems), "")

    def _remember(self, answers: Sequence[Any], bodies: Sequence[Any], found: Schemas) -> None:
        pairs = (*zip(answers, found.answers, strict=True), *zip(bodies, found.bodies, strict=True))
        for index, (kind, schema) in enumerate(pairs):
            self._of[id(kind), index >= len(answers)] = schema

    def _describable(self, plugin: str, kinds: Sequence[Any], *, sent: bool) -> list[Any]:
        good: list[Any] = []
        for kind in kinds:
            try:
                _plain(schemas_of(() if sent else (kind,), (kind,) if sent else (), TEMPLATE))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with a plugin's type must stay its own trouble
                self._note(plugin, kind, error)
            else:
                good.append(kind)
        return good

    def _note(self, plugin: str, kind: Any, error: Exception) -> None:
        reason = f"a type of plugin {plugin!r} has no JSON Schema: {type(error).__name__}: {error}"
        self._problems[id(kind)] = reason
        log.warning("a type of a plugin is left open in the OpenAPI document", plugin=plugin, reason=reason)

    def _names_for(self, plugin: str, components: dict[str, Schema]) -> dict[str, str]:
        """Name a plugin's components: one that is exactly ours keeps our name, the others begin with the plugin's."""
        ours = {name for name, schema in components.items() if self.schemas.get(name) == schema}
        while foreign := {name for name in ours if not _referred(components[name]) <= ours}:
            ours -= foreign
        names: dict[str, str] = {}
        for name in components:
            new = name if name in ours else component_name(f"{plugin}.{name}")
            while name not in ours and (new in self.schemas or new in names.values()):
                new += "_"
            names[name] = new
        return names


def _plain(found: Schemas) -> Schemas:
    """Return it as JSON has it; what a type brought along may be something that JSON does not have."""
    return msgspec.json.decode(msgspec.json.encode(found), type=Schemas)


def _referred(schema: Any) -> set[str]:
    if isinstance(schema, str):
        return {schema.removeprefix(REF)} if schema.startswith(REF) else set()
    return {name for part in _parts(schema) for name in _referred(part)}


def _parts(schema: Any) -> Sequence[Any]:
    if isinstance(schema, dict):
        return list(cast("Schema", schema).values())
    return cast("Sequence[Any]", schema) if isinstance(schema, list) else []


def _renamed(found: Schemas, refs: dict[str, str]) -> Schemas:
    def rename(part: Any) -> Any:
        if isinstance(part, str):
            return refs.get(part, part)
        if isinstance(part, dict):
            return {key: rename(value) for key, value in cast("Schema", part).items()}
        return [rename(item) for item in _parts(part)] if isinstance(part, list) else part

    return Schemas(
        tuple(map(rename, found.answers)),
        tuple(map(rename, found.bodies)),
        {name: rename(schema) for name, schema in found.components.items()},
    )
