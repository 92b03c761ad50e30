"""A request passes few own frames: what each one adds is paid by all requests."""

from collections import Counter
from pathlib import Path

import pytest

from tests.bench.frames import counted

pytest.importorskip("libvirt")

# What was reached, and four in a hundred. `scripts/bench frames` has the limits.
CEILINGS = {"stats": 72, "vms": 90, "start": 216}


async def test_a_request_passes_few_own_frames(tmp_path: Path) -> None:
    found = await counted(tmp_path)

    for name, ceiling in CEILINGS.items():
        most = Counter(code.co_qualname for code in found[name]).most_common(10)
        assert len(found[name]) <= ceiling, f"{name} passes {len(found[name])} frames; most often {most}"
