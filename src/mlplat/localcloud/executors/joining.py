"""DataProcessing of a transform job: what of a record the model gets, and what is stored of record and answer.

Source: developer guide, "Associate Prediction Results with Input Records". Filters work on CSV rows (as arrays of
their cells) and on JSON; joining appends the answer's cells to the row, or adds it as `SageMakerOutput`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlplat.localcloud.executors.json_path import JsonPath, PathError
from mlplat.localcloud.executors.payloads import PayloadError, Record

CSV, JSON, JSONLINES = "text/csv", "application/json", "application/jsonlines"
FORMATS = (CSV, JSON, JSONLINES)
"""ContentType and Accept with which filters and joins work."""

INPUT, OUTPUT = "SageMakerInput", "SageMakerOutput"


@dataclass(frozen=True)
class Joining:
    """The filters and the join of one job."""

    content_type: str
    input_filter: JsonPath
    output_filter: JsonPath
    join: bool
    lines: bool
    """Whether an answer has a line for each record: the object was split by lines."""

    @classmethod
    def of(cls, job: Mapping[str, Any]) -> Joining:
        """What the request says. Raises PathError."""
        asked = job.get("DataProcessing", {})
        return cls(
            content_type=media_type(job["TransformInput"].get("ContentType", "")),
            input_filter=JsonPath.parse(asked.get("InputFilter", "$")),
            output_filter=JsonPath.parse(asked.get("OutputFilter", "$")),
            join=asked.get("JoinSource", "None") == "Input",
            lines=job["TransformInput"].get("SplitType", "None") == "Line",
        )

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to do."""
        return self.input_filter.is_root and self.output_filter.is_root and not self.join

    def sent(self, record: Record) -> Record:
        """The record as the model gets it. Raises PayloadError."""
        if self.input_filter.is_root:
            return record
        data = self._write(self._filtered(self.input_filter, self._read(record.data)))
        return Record(data, data)

    def stored(self, originals: list[Record], answer: bytes) -> bytes:
        """What the output object gets of an answer to these records. Raises PayloadError."""
        if self.output_filter.is_root and not self.join:
            return answer
        answers = _rows(answer) if self.lines else [answer]
        if len(answers) != len(originals):
            raise PayloadError(f"the model answered {len(answers)} records to {len(originals)}: they can't be joined")
        stored = [self._joined(record, each) for record, each in zip(originals, answers, strict=True)]
        return b"\n".join(self._write(self._filtered(self.output_filter, each)) for each in stored)

    def _joined(self, record: Record, answer: bytes) -> Any:
        output = self._read(answer)
        if not self.join:
            return output
        original = self._read(record.data)
        if self.content_type == CSV:
            return [*original, *output]
        return {**original, OUTPUT: output} if isinstance(original, dict) else {INPUT: original, OUTPUT: output}

    def _filtered(self, path: JsonPath, value: Any) -> Any:
        try:
            return path.select(value)
        except PathError as error:
            raise PayloadError(str(error)) from error

    def _read(self, data: bytes) -> Any:
        try:
            text = data.decode()
            return next(csv.reader([text]), []) if self.content_type == CSV else json.loads(text)
        except (ValueError, csv.Error) as error:
            raise PayloadError(f"a record is not {self.content_type}: {error}") from error

    def _write(self, value: Any) -> bytes:
        if self.content_type != CSV:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value if isinstance(value, list) else [value])
        return line.getvalue().encode()


def media_type(content_type: str) -> str:
    """`text/csv` of `text/csv; charset=utf-8`."""
    return content_type.partition(";")[0].strip().lower()


def _rows(answer: bytes) -> list[bytes]:
    return answer.removesuffix(b"\n").split(b"\n")
