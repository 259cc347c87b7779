"""Requests to an endpoint: one, or a file of rows, each as its own request, with what every variant made of them."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mlplat.errors import ApiError, MlplatError, UsageError, WaitTimeout
from mlplat.workflows.platform import Platform


@dataclass(frozen=True)
class Answer:
    """What a variant answered: the body as text, and how long it took (seconds, seen from here)."""

    variant: str
    body: str
    content_type: str
    seconds: float


def physical(platform: Platform, endpoint: str) -> str:
    """The AWS name of an endpoint of the settings. Raises UsageError when nothing is deployed to it."""
    address = f"ml_model_serving.endpoint.{endpoint}"
    entry = platform.state().entries.get(address)
    if entry is None:
        raise UsageError(
            f"invoking endpoint {endpoint}: nothing is deployed to it in namespace {platform.settings.namespace}",
            hint=f"mlplat deploy {endpoint}",
        )
    return str(entry.outputs["name"])


def invoke(
    platform: Platform,
    endpoint: str,
    body: bytes | str,
    *,
    content_type: str = "text/csv",
    accept: str | None = None,
    variant: str | None = None,
) -> Answer:
    """One request. Raises MlplatError with the model's own words when the model refused it."""
    name = physical(platform, endpoint)
    return _send(platform, name, body, content_type=content_type, accept=accept, variant=variant)


def _send(
    platform: Platform,
    name: str,
    body: bytes | str,
    *,
    content_type: str,
    accept: str | None = None,
    variant: str | None = None,
) -> Answer:
    extra = {key: value for key, value in {"Accept": accept, "TargetVariant": variant}.items() if value}
    began = time.perf_counter()
    client = platform.session.client("sagemaker-runtime")
    try:
        found = client.invoke_endpoint(EndpointName=name, Body=body, ContentType=content_type, **extra)
    except ApiError as error:
        hints = {"ValidationError": "mlplat status", "ModelError": f"aws logs tail /aws/sagemaker/Endpoints/{name}"}
        raise error.said_while(f"invoking endpoint {name}", hints.get(error.code)) from error
    return Answer(
        found.get("InvokedProductionVariant", ""),
        found["Body"].read().decode(errors="replace"),
        found.get("ContentType", ""),
        time.perf_counter() - began,
    )


@dataclass(frozen=True)
class Sent:
    """One row's request: its answer, or the error it met."""

    row: int
    answer: Answer | None
    error: MlplatError | None
    label: str | None


def rows_of(path: Path, label: str | None) -> tuple[list[str], list[tuple[str, str | None]]]:
    """The header without the label, and each row as CSV text with its label. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"reading rows {path}: there is no such file", hint="mlplat invoke --help")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        if label is not None and label not in header:
            raise UsageError(
                f"reading rows {path}: it has no column {label}; it has {', '.join(header)}", hint=f"head -1 {path}"
            )
        at = header.index(label) if label is not None else None
        rows = [(_csv(_without(row, at)), row[at] if at is not None else None) for row in reader if row]
    return _without(header, at), rows


def _without(row: Sequence[str], at: int | None) -> list[str]:
    return [value for index, value in enumerate(row) if index != at]


def _csv(*rows: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def send(
    platform: Platform,
    endpoint: str,
    header: Sequence[str],
    rows: Sequence[tuple[str, str | None]],
    *,
    variant: str | None = None,
    parallel: int = 8,
    seen: Callable[[Sent], None] = lambda _sent: None,
) -> list[Sent]:
    """Each row as a request of its own (the header goes with it), `parallel` at a time, in the rows' order."""
    name = physical(platform, endpoint)
    head = _csv(header)

    def one(item: tuple[int, tuple[str, str | None]]) -> Sent:
        number, (row, label) = item
        try:
            if platform.session.late:
                raise WaitTimeout(f"invoking endpoint {name}: its time was over before this row was sent")
            answer = _send(platform, name, head + row, content_type="text/csv", accept="text/csv", variant=variant)
            sent = Sent(number, answer, None, label)
        except MlplatError as error:
            sent = Sent(number, None, error, label)
        seen(sent)
        return sent

    with ThreadPoolExecutor(max_workers=parallel) as pool:
        return list(pool.map(one, enumerate(rows, start=1)))


def by_variant(sent: Sequence[Sent], positive: str = "yes") -> list[dict[str, Any]]:
    """For each variant: requests, share of all answered, AUC against the labels (None without), median milliseconds."""
    groups: dict[str, list[Sent]] = {}
    for each in sent:
        if each.answer is not None:
            groups.setdefault(each.answer.variant, []).append(each)
    answered = sum(len(each) for each in groups.values())
    return [
        {
            "variant": name,
            "requests": len(group),
            "share": round(len(group) / answered, 4),
            "auc": auc(_scored(group, positive)),
            "median_ms": round(1000 * median(each.answer.seconds for each in group if each.answer), 1),
        }
        for name, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _scored(group: Sequence[Sent], positive: str) -> Iterator[tuple[float, bool]]:
    """Pairs of score and truth; answers that are no number are left out, and so is a row without a label."""
    for each in group:
        if each.answer is None or each.label is None:
            continue
        first = each.answer.body.strip().splitlines()[-1:] or [""]
        try:
            yield float(first[0].split(",")[-1]), each.label == positive
        except ValueError:
            continue


def auc(scored: Iterator[tuple[float, bool]]) -> float | None:
    """The area under the ROC curve by ranks (Mann-Whitney, ties count half); None when a class is missing."""
    pairs = sorted(scored)
    ranks: Mapping[float, float] = _mid_ranks([score for score, _ in pairs])
    positives = [score for score, truth in pairs if truth]
    negatives = len(pairs) - len(positives)
    if not positives or not negatives:
        return None
    below = sum(ranks[score] for score in positives) - len(positives) * (len(positives) + 1) / 2
    return round(below / (len(positives) * negatives), 4)


def _mid_ranks(ordered: Sequence[float]) -> dict[float, float]:
    """The mean rank (from 1) of each value of a sorted sequence."""
    spans: dict[float, tuple[int, int]] = {}
    for rank, value in enumerate(ordered, start=1):
        spans[value] = (spans.get(value, (rank, rank))[0], rank)
    return {value: (first + last) / 2 for value, (first, last) in spans.items()}
