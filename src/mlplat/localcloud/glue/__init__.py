"""Glue beside its catalog, which is moto's: Python shell jobs and crawlers that really run, and triggers."""

from __future__ import annotations

from mlplat.localcloud.glue.crawlers import Crawlers
from mlplat.localcloud.glue.jobs import Jobs
from mlplat.localcloud.glue.tags import Tags
from mlplat.localcloud.glue.triggers import Triggers

FAMILIES: tuple[type, ...] = (Jobs, Crawlers, Triggers, Tags)
