"""The job of a transformation: new raw files through the user's `transform`, checked, into a feature group.

Runs as a SageMaker processing job or a Python shell job of Glue. The template appends what it is for, the user's
source, and the call of `main`, so that all of it is one file that changes at once. A file that has gone through is
marked, so that the next run takes only what is new; a run that was ended takes the unmarked files again, and a record
that is written twice is the same record. Bad rows go to `quarantine/`, with the reason, and a report of every file to
`reports/`.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import hashlib
import io
import json
import math
import re
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pandas as pd
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

NAMESPACE = "mlplat/FeatureStore"
THREADS = 16
ISO_8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z")
"""What the feature store takes for an event time that is a String."""

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = list[dict[str, Any]]


class FileRefused(Exception):
    """Nothing of a file is written; the text says why."""


def read_file(name: str, body: bytes, texts: set[str]) -> Any:
    """A raw file as a data frame, by its name. The columns in `texts` stay text: an id 007 is not a number."""
    if name.endswith(".gz"):
        name, body = name[:-3], gzip.decompress(body)
    if name.endswith(".csv"):
        return pd.read_csv(io.BytesIO(body), dtype=dict.fromkeys(texts, str), na_values=[""], keep_default_na=False)
    if name.endswith((".jsonl", ".ndjson")):
        return _from_json([json.loads(line) for line in body.decode().splitlines() if line.strip()], texts)
    if name.endswith(".parquet"):
        return pd.read_parquet(io.BytesIO(body))
    raise FileRefused("neither .csv, .jsonl nor .parquet")


def _from_json(rows: list[dict[str, Any]], texts: set[str]) -> Any:
    frame = pd.DataFrame(rows)
    for name in texts & set(frame.columns):
        frame[name] = [None if row.get(name) is None else str(row[name]) for row in rows]
    return frame


def is_null(value: Any) -> bool:
    """Whether there is no value, in any of pandas' ways; a collection is one."""
    return value is None or (not isinstance(value, (list, tuple, set)) and bool(pd.isna(value)))


def as_text(value: Any, kind: str) -> str:
    """A value as a record has it. Raises ValueError when it is not of the feature's type."""
    if kind == "String":
        if isinstance(value, datetime.datetime):
            moment = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        return str(value)
    if isinstance(value, datetime.datetime):
        value = value.timestamp()
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    if kind == "Integral":
        if number != int(number):
            raise ValueError("not a whole number")
        return str(int(value)) if not isinstance(value, str) else str(int(number))
    return repr(number)


def feature(name: str, value: Any, kind: str) -> dict[str, Any]:
    """One member of a record. Raises ValueError."""
    scalar = kind.rpartition(" ")[2]
    if " of " not in kind:
        return {"FeatureName": name, "ValueAsString": as_text(value, kind)}
    if isinstance(value, str):
        value = json.loads(value)
    return {"FeatureName": name, "ValueAsStringList": [as_text(each, scalar) for each in value]}


def broken_rule(value: Any, rule: dict[str, Any]) -> str | None:
    """Which rule a value does not keep, in words."""
    if is_null(value) or value == "":
        return "is required" if rule.get("required") else None
    if rule.get("min") is not None and float(value) < rule["min"]:
        return f"is under {rule['min']:g}"
    if rule.get("max") is not None and float(value) > rule["max"]:
        return f"is over {rule['max']:g}"
    if rule.get("values") is not None and value not in rule["values"]:
        return "is none of the values that there are"
    if rule.get("pattern") is not None and not re.fullmatch(rule["pattern"], str(value)):
        return "is not like {}".format(rule["pattern"])
    return None


class Checker:
    """Checks rows of the group against its features and the rules; remembers what must be unique in the run."""

    def __init__(self, contract: dict[str, Any], stamp: str) -> None:
        self._features: dict[str, str] = contract["features"]
        self._identifier, self._event_time = contract["identifier"], contract["event_time"]
        self._rules: dict[str, dict[str, Any]] = contract["rules"]
        self._stamp = stamp
        self._seen: dict[str, set[str]] = {name: set() for name, rule in self._rules.items() if rule.get("unique")}
        self._new: dict[str, set[str]] = {name: set() for name in self._seen}
        self._keys: set[tuple[str, str]] = set()

    def begin(self, columns: list[str]) -> None:
        """Another file. Raises FileRefused when its columns are not the group's."""
        self._keys.clear()
        for new in self._new.values():
            new.clear()
        unknown = [each for each in columns if each not in self._features]
        if unknown:
            raise FileRefused("columns that are no features of the group: " + ", ".join(map(str, unknown)))
        if self._identifier not in columns:
            raise FileRefused("no column " + self._identifier + ", the record identifier")

    def accept(self) -> None:
        """The file is taken: what must be unique in it must be so in those that follow."""
        for name, new in self._new.items():
            self._seen[name] |= new

    def record(self, row: dict[str, Any]) -> tuple[Record, str | None]:
        """The record of a row and what is wrong with it, if anything is."""
        record, reason = [], None
        for name, kind in self._features.items():
            value = row.get(name)
            if name == self._event_time and is_null(value):
                value = self._stamp if kind == "String" else _seconds(self._stamp)
            try:
                reason = reason or self._problem(name, kind, value)
                if not is_null(value):
                    record.append(feature(name, value, kind))
            except (ValueError, TypeError):
                reason = reason or f"column {name}: {value!r} is no {kind}"
        return record, reason or self._twice(record)

    def _problem(self, name: str, kind: str, value: Any) -> str | None:
        if name == self._identifier and (is_null(value) or value == ""):
            return "column " + name + " is required"
        broken = broken_rule(value, self._rules.get(name, {}))
        if broken:
            return "column " + name + " " + broken
        if name == self._event_time and kind == "String" and not ISO_8601.fullmatch(as_text(value, kind)):
            return "column " + name + " is no ISO 8601 time in UTC, as 2026-01-31T12:00:00Z"
        return None

    def _twice(self, record: Record) -> str | None:
        values = {each["FeatureName"]: each.get("ValueAsString", "") for each in record}
        for name, seen in self._seen.items():
            if name in values and (values[name] in seen or values[name] in self._new[name]):
                return "column " + name + " is there twice"
        key = (values[self._identifier], values[self._event_time])
        if key in self._keys:
            return f"columns {self._identifier} and {self._event_time} are there twice"
        self._keys.add(key)
        for name, new in self._new.items():
            if name in values:
                new.add(values[name])
        return None


class Bad:
    """Rows that are not written, and why."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.reasons: Counter[str] = Counter()

    def add(self, number: int, reason: str, row: dict[str, Any]) -> None:
        """One more; `number` counts rows of the transformed file from 1."""
        values = {name: None if is_null(value) else value for name, value in row.items()}
        self.rows.append({"row": number, "reason": reason, "values": values})
        self.reasons[re.sub(r": .* is no ", " is no ", reason)] += 1

    def lines(self) -> bytes:
        """As JSON lines."""
        return "".join(json.dumps(each, default=str) + "\n" for each in self.rows).encode()


class Job:
    """One run."""

    def __init__(self, contract: dict[str, Any], transform: Callable[[Any], Any], run: str) -> None:
        settings = Config(max_pool_connections=THREADS, retries={"mode": "standard", "max_attempts": 10})
        self._s3 = boto3.client("s3", region_name=contract["region"], config=settings)
        self._store = boto3.client("sagemaker-featurestore-runtime", region_name=contract["region"], config=settings)
        self._contract, self._transform, self._run = contract, transform, run
        began = datetime.datetime.now(datetime.timezone.utc)
        self._checker = Checker(contract, began.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self._newest = 0.0

    def files(self, every: bool) -> Iterator[tuple[str, str]]:
        """Raw files in order, with the mark that says that they have gone through; those without it, or `every` one."""
        raw, kept = self._contract["raw"], self._contract["kept"]
        marks = {each["Key"] for each in self._objects(kept["bucket"], kept["prefix"] + "done/")}
        for each in self._objects(raw["bucket"], raw["prefix"]):
            name = hashlib.sha256(each["Key"].encode()).hexdigest()[:32] + "-" + each["ETag"].strip('"')
            mark = kept["prefix"] + "done/" + name
            if not each["Key"].endswith("/") and (every or mark not in marks):
                yield each["Key"], mark

    def file(self, key: str, mark: str) -> dict[str, Any]:
        """Take one file through; what became of it."""
        found = {"file": "s3://" + self._contract["raw"]["bucket"] + "/" + key, "status": "written"}
        bad = Bad()
        try:
            frame = self._transformed(key)
            found["rows"] = len(frame)
            good = self._checked(frame, bad)
            found["written"] = self._written(good, bad)
        except FileRefused as refused:
            found.update(status="refused", reason=str(refused), written=0)
        found.update(quarantined=len(bad.rows), reasons=dict(bad.reasons))
        if bad.rows:
            name = "quarantine/" + self._run + "/" + key[len(self._contract["raw"]["prefix"]) :] + ".jsonl"
            found["quarantine"] = self._keep(name, bad.lines())
        if found["status"] == "written":
            self._put(mark, json.dumps(found).encode())
        return found

    def report(self, files: list[dict[str, Any]]) -> str:
        """Keep the report of the run; where it is."""
        total = {name: sum(each.get(name, 0) for each in files) for name in ("rows", "written", "quarantined")}
        refused = sum(each["status"] == "refused" for each in files)
        whole = {"run": self._run, "feature_group": self._contract["feature_group"], "refused_files": refused}
        return self._keep("reports/" + self._run + ".json", json.dumps({**whole, **total, "files": files}).encode())

    def publish(self, files: list[dict[str, Any]]) -> None:
        """The metrics that alarms watch. That they couldn't be published fails nothing: the records are written."""
        cloudwatch = boto3.client("cloudwatch", region_name=self._contract["region"])
        dimensions = [{"Name": "FeatureGroupName", "Value": self._contract["feature_group"]}]
        failed = sum(each["quarantined"] if each["status"] == "written" else each.get("rows", 1) for each in files)
        values = [
            ("IngestedRecords", sum(each["written"] for each in files), "Count"),
            ("FailedRecords", failed, "Count"),
        ]
        if self._newest:
            age = datetime.datetime.now(datetime.timezone.utc).timestamp() - self._newest
            values.append(("NewestRecordAge", max(age, 0.0), "Seconds"))
        data = [
            {"MetricName": name, "Value": value, "Unit": unit, "Dimensions": dimensions} for name, value, unit in values
        ]
        try:
            cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=data)
        except (BotoCoreError, ClientError) as error:
            print(f"warning: the records are written, but alarms and dashboard don't know: {error}", flush=True)

    def _transformed(self, key: str) -> Any:
        body = self._s3.get_object(Bucket=self._contract["raw"]["bucket"], Key=key)["Body"].read()
        texts = {name for name, kind in self._contract["features"].items() if kind == "String"}
        try:
            frame = self._transform(read_file(key, body, texts))
        except FileRefused:
            raise
        except Exception as error:  # whatever the user's code, or a broken file, raises
            raise FileRefused(f"{type(error).__name__}: {error}") from error
        if not isinstance(frame, pd.DataFrame):
            raise FileRefused(f"transform gave a {type(frame).__name__}, not a DataFrame")
        self._checker.begin(list(frame.columns))
        return frame

    def _checked(self, frame: Any, bad: Bad) -> list[tuple[int, dict[str, Any], Record]]:
        good = []
        for number, row in enumerate(frame.astype(object).to_dict("records"), 1):
            record, reason = self._checker.record(row)
            if reason:
                bad.add(number, reason, row)
            else:
                good.append((number, row, record))
        if len(bad.rows) > self._contract["max_quarantined"] * len(frame):
            share = len(bad.rows) / len(frame)
            limit = self._contract["max_quarantined"]
            raise FileRefused(f"{share:.1%} of its rows are bad, over max_quarantined = {limit}")
        self._checker.accept()
        return good

    def _written(self, good: list[tuple[int, dict[str, Any], Record]], bad: Bad) -> int:
        with ThreadPoolExecutor(THREADS) as threads:
            refusals = list(threads.map(lambda each: self._put_record(each[2]), good))
        for (number, row, record), refusal in zip(good, refusals):
            if refusal:
                bad.add(number, refusal, row)
            else:
                self._newest = max(self._newest, _event_time(record, self._contract))
        return sum(refusal is None for refusal in refusals)

    def _put_record(self, record: Record) -> str | None:
        try:
            self._store.put_record(FeatureGroupName=self._contract["feature_group"], Record=record)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("Validation"):
                raise
            return f"PutRecord: {error.response['Error']['Message']}"
        return None

    def _objects(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield from page.get("Contents", ())

    def _keep(self, name: str, body: bytes) -> str:
        kept = self._contract["kept"]
        self._put(kept["prefix"] + name, body)
        return f"s3://{kept['bucket']}/{kept['prefix']}{name}"

    def _put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=self._contract["kept"]["bucket"], Key=key, Body=body)


def _seconds(moment: str) -> float:
    layout = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in moment else "%Y-%m-%dT%H:%M:%SZ"
    return datetime.datetime.strptime(moment, layout).replace(tzinfo=datetime.timezone.utc).timestamp()


def _event_time(record: Record, contract: dict[str, Any]) -> float:
    text = next(each["ValueAsString"] for each in record if each["FeatureName"] == contract["event_time"])
    return _seconds(text) if contract["features"][contract["event_time"]] == "String" else float(text)


def function(source: str) -> Callable[[Any], Any]:
    """The user's `transform`."""
    module: dict[str, Any] = {"__name__": "transform", "__file__": "transform.py"}
    exec(compile(source, "transform.py", "exec"), module)  # noqa: S102 - it is what the job is for
    made: Callable[[Any], Any] = module["transform"]
    return made


def told(found: dict[str, Any]) -> str:
    """One file's outcome, for the log."""
    if found["status"] == "refused":
        return f"{found['file']}: refused: {found['reason']}"
    counts = f"{found['written']} of {found['rows']} rows written, {found['quarantined']} in quarantine"
    return f"{found['file']}: {counts}"


def main(contract: dict[str, Any], source: str) -> int:
    """Every new file in turn; 1 when one of them was refused."""
    given = argparse.ArgumentParser()
    given.add_argument("--run", default="")
    given.add_argument("--files", choices=("new", "all"), default="new")
    arguments, _ = given.parse_known_args()  # Glue adds arguments of its own
    job = Job(contract, function(source), arguments.run or uuid.uuid4().hex)
    files = []
    for key, mark in job.files(arguments.files == "all"):
        files.append(job.file(key, mark))
        print(told(files[-1]), flush=True)
    print(f"report: {job.report(files)}", flush=True)
    if contract["publishes"]:
        job.publish(files)
    refused = [each for each in files if each["status"] == "refused"]
    if refused and Path("/opt/ml/output").is_dir():
        Path("/opt/ml/output/message").write_text("\n".join(map(told, refused))[:1000])
    return 1 if refused else 0
