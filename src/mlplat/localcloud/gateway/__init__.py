"""API Gateway as its APIs' callers see it: REST APIs whose stages answer, by invoking SageMaker endpoints."""

from __future__ import annotations

from mlplat.localcloud.gateway.invocations import Gateway

__all__ = ["Gateway"]
