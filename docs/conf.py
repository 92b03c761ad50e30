"""How Sphinx builds the documentation."""

import sys
from pathlib import Path

from virtumancer import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Virtumancer"
author = "The Virtumancer developers"
project_copyright = "The Virtumancer developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "virtumancer_reference"]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["fieldlist"]
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# Every value, attribute and method that is public is shown, also where its name says all that there is to say.
autodoc_default_options = {"members": True, "undoc-members": True}
python_use_unqualified_type_names = True
# Annotations such as `type[Struct]` are taken for references to attributes of that name, of which there are several.
suppress_warnings = ["ref.python"]
# Quotes in the reference are those of TOML and JSON.
smartquotes = False
# Our docstrings put code in single backticks, as Markdown does.
default_role = "code"

html_theme = "furo"
html_title = f"Virtumancer {__version__}"
