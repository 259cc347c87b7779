from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.resources.contract import KindContract, World

from mlplat.errors import ApiError
from mlplat.resources import Dashboard


def widget(title: str) -> dict[str, Any]:
    metric = ["mlplat/Test", "Errors", "FeatureGroupName", "customer"]
    properties = {"title": title, "metrics": [metric], "region": "us-east-1", "view": "timeSeries", "stat": "Sum"}
    return {"type": "metric", "x": 0, "y": 0, "width": 12, "height": 6, "properties": properties}


class TestDashboard(KindContract):
    def desired(self, world: World) -> Dashboard:
        return Dashboard(name=f"features-{world.suffix}", widgets=[widget("Errors")])

    def changes(self, world: World) -> dict[str, Any]:
        return {"widgets": [widget("Errors of puts"), widget("Errors of gets")]}


def test_what_cannot_be_drawn_is_refused(world: World) -> None:
    dashboard = replace(TestDashboard().desired(world), widgets=[{"type": "metric"}])
    with pytest.raises(ApiError, match="should have required property 'properties'"):
        dashboard.create(world.aws)
    assert dashboard.describe(world.aws) is None
