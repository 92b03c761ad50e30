"""An operation of a migration that creates many tables."""

from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import ModelState, State

__all__ = ["CreateModels"]


class CreateModels(ops.TortoiseOperation):
    """Creates the tables of several models, in this order.

    Tortoise copies the state of all models before each operation: with one operation for each table that is most of
    what a new database costs.
    """

    reversible = False

    def __init__(self, *creations: ops.CreateModel) -> None:
        self.creations = creations

    def state_forward(self, app_label: str, state: State) -> None:
        """Add all models, and look at the relations between them once."""
        names = [(app_label, creation.name) for creation in self.creations]
        for name, creation in zip(names, self.creations, strict=True):
            state.models[name] = ModelState.make_from_model(app_label, creation.model)
        state.reload_models(names)

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Create the tables."""
        for creation in self.creations:
            await creation.database_forward(app_label, old_state, new_state, state_editor)
