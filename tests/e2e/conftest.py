"""A fresh project for each test, and nothing of it left running."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.project import Project

from mlplat.localcloud import daemon


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    daemon.stop(made.cloud)
