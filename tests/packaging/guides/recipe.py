"""Runs the console blocks of a page of the documentation, and holds what is printed against what the page shows."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(r"^(?:`(?P<file>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
MARK = "--- end of step ---"
DOCS = Path(__file__).parents[3] / "docs"


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a page with the output that is shown for it.

    The commands are those of the console blocks; a block below a line with the name of a file writes that file.
    """
    for block in BLOCK.finditer(page):
        if block["file"]:
            yield f"cat > {block['file']} <<'END OF FILE'\n{block['code']}END OF FILE", ""
        elif block["language"] == "console":
            for step in re.split(r"^\$ ", block["code"], flags=re.M)[1:]:
                command, _, output = step.partition("\n")
                yield command, output


def run_page(page: str, folder: Path, home: Path, **environment: str) -> None:
    """Run all commands of a page in one shell, and stop at the first that fails or prints something else.

    In what is shown, `…` stands for anything and runs of spaces for one.
    """
    commands = list(steps(page))
    script = "\n".join(f"{command}\necho '{MARK}'" for command, _ in commands)
    done = subprocess.run(
        ["/bin/bash", "-e", "-o", "pipefail"],
        input=script,
        cwd=folder,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("VIRTUMANCER_")},
            **environment,
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    outputs = done.stdout.split(f"{MARK}\n")
    for (command, shown), printed in zip(commands, outputs, strict=False):
        assert _fits(shown, printed), f"$ {command}\n{printed}\nis not what the page shows:\n{shown}\n{done.stderr}"
    assert done.returncode == 0, f"$ {commands[len(outputs) - 1][0]}\n{outputs[-1]}\n{done.stderr}"


def _fits(shown: str, printed: str) -> bool:
    parts = [re.escape(" ".join(part.split())) for part in shown.split("…")]
    return re.search(".*".join(parts), " ".join(printed.split())) is not None
