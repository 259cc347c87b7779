"""Each test prints as a new process would: a console's width is settled when it is first used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlplat import output


@pytest.fixture(autouse=True)
def new_consoles() -> Iterator[None]:
    yield
    for console in (output.stdout, output.stderr):
        console.cache_clear()
