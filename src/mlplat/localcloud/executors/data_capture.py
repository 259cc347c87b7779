"""Data capture: what went into an endpoint and what came out, as JSON lines on S3, which model monitors read.

Source: developer guide, "Data capture". Content types that the configuration does not name are kept in base64.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mlplat.localcloud.access import Actors
from mlplat.localcloud.cloud import Cloud
from mlplat.localcloud.executors.router import Answer

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds that lines wait for company; SageMaker takes minutes."""

MOST_WAITING = 100_000
"""Lines that wait for S3 when it doesn't take them; then the oldest are given up."""


@dataclass(frozen=True)
class Place:
    """Where lines go: the folder's URI and the variant's path under it, the key that encrypts them, and whose role
    puts them there, the model's (developer guide, "SageMaker AI execution roles", CreateModel)."""

    uri: str
    variant: str
    key: str | None
    role: str


@dataclass(frozen=True)
class Request:
    """What the client sent."""

    body: bytes
    content_type: str
    inference_id: str | None
    custom_attributes: str | None


class DataCapture:
    """Collects the lines of every endpoint of one region and carries them to S3."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._actors = cloud, Actors(cloud)
        self._lock = threading.Lock()
        self._waiting: defaultdict[Place, list[str]] = defaultdict(list)
        self._armed = False

    def see(
        self, config: Mapping[str, Any], source: tuple[str, str, str], request: Request, answer: Answer, when: datetime
    ) -> None:
        """Keep one request and its answer, if the sampling percentage says so.

        `config` is the DataCaptureConfig, `source` the endpoint, its variant and the role of the variant's model.
        """
        if random.random() * 100 >= config["InitialSamplingPercentage"]:  # noqa: S311 - a sample, no secret
            return
        line = _line(config, request, answer, when)
        endpoint, variant, role = source
        place = Place(config["DestinationS3Uri"], f"{endpoint}/{variant}", config.get("KmsKeyId") or None, role)
        with self._lock:
            self._waiting[place].append(line)
            arm, self._armed = not self._armed, True
        if arm:
            self._cloud.later(self.flush, EVERY)

    def flush(self) -> None:
        """Write one file for each variant that has lines."""
        with self._lock:
            waiting, self._waiting, self._armed = self._waiting, defaultdict(list), False
        for place, lines in waiting.items():
            try:
                self._write(place, lines)
            except Exception as error:
                log.warning("capturing data of %s to %s: %s", place.variant, place.uri, error)
                self._keep(place, lines)

    def _keep(self, place: Place, lines: list[str]) -> None:
        with self._lock:
            self._waiting[place] = (lines + self._waiting[place])[-MOST_WAITING:]
            arm, self._armed = not self._armed, True
        if arm:
            self._cloud.later(self.flush, 5 * EVERY)

    def _write(self, place: Place, lines: list[str]) -> None:
        bucket, _, prefix = place.uri.removeprefix("s3://").rstrip("/").partition("/")
        now = self._cloud.now()
        name = f"{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03}-{uuid.uuid4()}.jsonl"
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": place.key} if place.key else {}
        key = "/".join(filter(None, [prefix, place.variant, name]))
        body = "".join(f"{line}\n" for line in lines).encode()
        s3 = self._actors.of(place.role).aws("s3")
        s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption)


def _line(config: Mapping[str, Any], request: Request, answer: Answer, when: datetime) -> str:
    modes = {each["CaptureMode"] for each in config["CaptureOptions"]}
    captured = {}
    if modes & {"Input", "InputAndOutput"}:
        captured["endpointInput"] = _side(config, "INPUT", request.content_type, request.body)
    if modes & {"Output", "InputAndOutput"}:
        captured["endpointOutput"] = _side(config, "OUTPUT", answer.content_type, answer.body)
    about = {"eventId": str(uuid.uuid4())}
    if request.custom_attributes:
        about["customAttributes"] = request.custom_attributes
    if request.inference_id:
        about["inferenceId"] = request.inference_id
    about["inferenceTime"] = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"captureData": captured, "eventMetadata": about, "eventVersion": "0"})


def _side(config: Mapping[str, Any], mode: str, content_type: str, body: bytes) -> dict[str, str]:
    encoding = _encoding(config.get("CaptureContentTypeHeader") or {}, content_type)
    try:
        data = body.decode() if encoding != "BASE64" else base64.b64encode(body).decode()
    except UnicodeDecodeError:
        encoding, data = "BASE64", base64.b64encode(body).decode()
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}


def _encoding(headers: Mapping[str, Any], content_type: str) -> str:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in headers.get("CsvContentTypes", ()):
        return "CSV"
    return "JSON" if kind in headers.get("JsonContentTypes", ()) else "BASE64"
