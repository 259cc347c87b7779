from __future__ import annotations

import time

import pytest
from tests.aws.clock import Clock

from mlplat.aws import Session


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(Session, "pause", lambda _session, seconds: clock.pause(seconds))
    return clock
