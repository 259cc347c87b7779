"""The world that kinds are tested in: a corner of the local cloud."""

from __future__ import annotations

from typing import Any

import pytest

pytest.register_assert_rewrite("tests.resources.contract")

from tests.resources.contract import World  # noqa: E402


@pytest.fixture
def world(cloud: Any) -> World:
    """A session bound to a fresh address, unique names, and prerequisites made when asked for."""
    return World(session=cloud.session(), client=cloud.client)
