"""Makes the generators of the reference importable: they are no installed package."""

import sys

from tests.docs.pages import DOCS

sys.path.insert(0, str(DOCS / "_ext"))
