"""What a transform job sends: an object's records, packed into payloads, and the answers put together again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

RECORDIO_MAGIC = 0xCED7230A
"""Source: mxnet, dmlc-core `recordio.h`."""

MEGABYTE = 1024 * 1024


class PayloadError(Exception):
    """The object can't be split, or doesn't fit."""


@dataclass(frozen=True)
class Record:
    """One record: its data, and the same as it stood in the object."""

    data: bytes
    framed: bytes


@dataclass(frozen=True)
class Payload:
    """One request to the model."""

    body: bytes
    records: list[Record]


def split(body: bytes, how: str) -> Iterator[Record]:
    """The records of an object: SplitType None, Line, RecordIO or TFRecord. Raises PayloadError."""
    if how == "Line":
        yield from (Record(line, line) for line in _lines(body))
    elif how == "RecordIO":
        yield from _recordio(body)
    elif how == "TFRecord":
        yield from _tfrecord(body)
    else:
        yield Record(body, body)


def pack(records: Iterable[Record], *, how: str, single: bool, limit: int) -> Iterator[Payload]:
    """Payloads of one record each, or of as many as fit into `limit` bytes (0: no limit). Raises PayloadError.

    A binary record is sent without its frame when it is sent alone. Source: API reference of TransformInput.
    """
    newline = b"\n" if how == "Line" else b""
    batch, size = list[Record](), 0
    for record in records:
        length = len(record.data if single else record.framed)
        if limit and length > limit:
            raise PayloadError(f"a record of {length} bytes is over the limit of {limit} (MaxPayloadInMB)")
        if batch and (single or (limit and size + len(newline) + length > limit)):
            yield _payload(batch, single, newline)
            batch, size = [], 0
        size += length + (len(newline) if batch else 0)
        batch.append(record)
    if batch:
        yield _payload(batch, single, newline)


def _payload(batch: list[Record], single: bool, newline: bytes) -> Payload:
    return Payload(batch[0].data if single else newline.join(each.framed for each in batch), batch)


def assemble(answers: Iterable[bytes], how: str) -> bytes:
    """The output object: AssembleWith Line ends each answer with a newline, None puts them one behind the other."""
    if how == "Line":
        return b"".join(answer.removesuffix(b"\n") + b"\n" for answer in answers)
    return b"".join(answers)


def _lines(body: bytes) -> list[bytes]:
    lines = body.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.removesuffix(b"\r") for line in lines]


def _recordio(body: bytes) -> Iterator[Record]:
    """A magic number, a word of flag (3 bits) and length, the data, padded to four bytes; parts of a record joined."""
    at, begin, data = 0, 0, b""
    while at < len(body):
        if at + 8 > len(body):
            raise PayloadError("the object ends within a RecordIO record")
        magic, word = struct.unpack_from("<II", body, at)
        flag, length = word >> 29, word & ((1 << 29) - 1)
        if magic != RECORDIO_MAGIC or at + 8 + length > len(body):
            raise PayloadError(f"there is no RecordIO record at byte {at}")
        if flag in (2, 3):  # the magic number was in the data, and split it
            data += struct.pack("<I", RECORDIO_MAGIC)
        data += body[at + 8 : at + 8 + length]
        at += 8 + (length + 3) // 4 * 4
        if flag in (0, 3):
            yield Record(data, body[begin:at])
            begin, data = at, b""


def _tfrecord(body: bytes) -> Iterator[Record]:
    """Length (8 bytes), its checksum (4), the data, its checksum (4)."""
    at = 0
    while at < len(body):
        length = struct.unpack_from("<Q", body, at)[0] if at + 12 <= len(body) else len(body)
        end = at + 12 + length + 4
        if end > len(body):
            raise PayloadError(f"there is no TFRecord at byte {at}")
        yield Record(body[at + 12 : end - 4], body[at:end])
        at = end
