"""Tables on the screen, and under a heading of docs/performance.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def table(*titles: str) -> str:
    """A table's head."""
    return f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}"


def write(heading: str, script: str, about: str, lines: Iterable[str]) -> None:
    """Print the lines as they come; with --write they replace what stands under the heading, too."""
    found = []
    for line in lines:
        print(line, flush=True)
        found.append(line)
    found.append(f"\nLoad of the machine at the end: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores.")
    print(found[-1])
    if "--write" not in sys.argv:
        return
    said = about.split("`--write`")[0].strip()
    text = f"{heading}\n\n`python {script} --write`:\n\n{said}\n\n" + "\n".join(found) + "\n"
    page = PAGE.read_text()
    before, known, after = page.partition(f"{heading}\n")
    _, another, rest = after.partition("\n## ")
    if not known:
        before = page.rstrip() + "\n\n"
    PAGE.write_text(f"{before}{text}{another}{rest}".rstrip() + "\n")
