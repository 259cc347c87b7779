"""How raw files become records: a script, the rules its rows must keep, and when it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mlplat.settings.features import FeatureGroup
from mlplat.settings.limits import Name, ProcessingInstanceType
from mlplat.settings.problems import Refusal, matching, nearest, refuse
from mlplat.settings.section import Section

Scalar = str | int | float


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise refuse(Refusal(f"not a regular expression: {error}")) from error
    return value


def _schedule(value: str) -> str:
    """Scheduler user guide, "Schedule types": rate(value unit) with the unit's plural kept, cron of six fields."""
    rate = re.fullmatch(r"rate\(([1-9]\d*) (minute|hour|day)(s?)\)", value)
    if rate and (rate[1] == "1") == (rate[3] == ""):
        return value
    fields = re.fullmatch(r"cron\(([^()]+)\)", value)
    if fields and len(parts := fields[1].split()) == 6 and (parts[2] == "?") != (parts[4] == "?"):
        return value
    reason = 'a rate, "rate(1 day)" or "rate(6 hours)", or six fields, "cron(0 3 * * ? *)", of which the day of the '
    raise refuse(Refusal(f"{reason}month or of the week is ?"))


Schedule = Annotated[str, AfterValidator(_schedule)]
_PREFIX = 'a folder of the raw bucket that ends in /: "customers/"'
RawPrefix = Annotated[str, matching(r"(?!/)(?:[A-Za-z0-9!_.*'()=-]+/)+", _PREFIX)]
_IMAGE = "an AWS framework image as name:version (scikit-learn:1.2-1), or the URI of your own"
Image = Annotated[str, matching(r"[a-z0-9][a-z0-9-]*:[\w.-]+|\S+/\S+", _IMAGE)]


class Rule(Section):
    """What a feature's values must keep. A row that doesn't is put into quarantine."""

    required: bool = False
    """Not null, and not an empty text."""
    unique: bool = False
    """No value twice in one run."""
    min: float | None = None
    max: float | None = None
    values: Annotated[list[Scalar], Field(min_length=1)] | None = None
    """The only ones there are."""
    pattern: Annotated[str, AfterValidator(_pattern)] | None = None
    """A regular expression that the whole text matches."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise refuse(Refusal(f"less than min, which is {self.min}", ("max",)))
        return self


class Transformation(Section):
    """New raw files through a script of the user's into a feature group."""

    feature_group: Name | None = None
    """The one of the transformation's own name when it is left out."""
    script: Annotated[Path, Field(strict=False)]
    """A Python file with a function `transform`, from a data frame of a file's rows to one of the group's features."""
    source: RawPrefix
    engine: Literal["processing", "glue"] = "processing"
    """A SageMaker pipeline with a processing job, or a Python shell job of Glue."""
    schedule: Schedule | None = None
    """When it runs by itself; without it, when `mlplat features transform` is called."""
    image: Image = "scikit-learn:1.2-1"
    instance_type: ProcessingInstanceType = "ml.m5.large"
    volume_gb: Annotated[int, Field(ge=1, le=16384)] = 30
    max_runtime_minutes: Annotated[int, Field(ge=1, le=28 * 24 * 60)] = 60
    max_quarantined: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The share of a file's rows that may be bad; of a file with more of them nothing is written."""
    rules: dict[str, Rule] = {}

    @model_validator(mode="after")
    def _fits_the_engine(self) -> Self:
        if found := list(self._of_engine()):
            raise refuse(*found)
        return self

    def _of_engine(self) -> Iterator[Refusal]:
        if self.engine == "glue":
            for key in ("image", "instance_type", "volume_gb"):
                if key in self.model_fields_set:
                    yield Refusal('a job with engine = "glue" runs on Glue\'s own machines', (key,))
            if self.schedule and self.schedule.startswith("rate"):
                yield Refusal('Glue knows no rates: "cron(0 3 * * ? *)", for example', ("schedule",))


class Crawler(Section):
    """What looks through the raw bucket and keeps tables of what it finds."""

    enabled: bool = True
    schedule: Annotated[Schedule, matching(r"cron.*", 'Glue knows no rates: "cron(0 3 * * ? *)"')] | None = None


def misfits(transformations: Mapping[str, Transformation], groups: Mapping[str, FeatureGroup]) -> Iterator[Refusal]:
    """Transformations into groups that there are not, and rules that don't suit the features they are for."""
    for name, each in transformations.items():
        group = groups.get(each.feature_group or name)
        if group is None:
            key = ("transformations", name, *(["feature_group"] if each.feature_group else []))
            known = ", ".join(groups) or "none"
            yield Refusal(
                f"there is no such feature group; there is {known}", key, nearest(each.feature_group or name, groups)
            )
            continue
        for feature, rule in each.rules.items():
            key = ("transformations", name, "rules", feature)
            if feature not in group.features:
                yield Refusal(
                    f"no feature of group {each.feature_group or name}", key, nearest(feature, group.features)
                )
            else:
                yield from _unsuited(key, rule, group.features[feature])


def _unsuited(key: tuple[str, ...], rule: Rule, kind: str) -> Iterator[Refusal]:
    if kind == "String":
        unsuited = [each for each in ("min", "max") if getattr(rule, each) is not None]
    elif " of " in kind:
        unsuited = [each for each in ("min", "max", "values", "pattern") if getattr(rule, each) is not None]
        unsuited += ["unique"] if rule.unique else []
    else:
        unsuited = ["pattern"] if rule.pattern is not None else []
    for each in unsuited:
        yield Refusal(f"a rule that a feature of type {kind} can't have", (*key, each))
    texts = [value for value in rule.values or () if isinstance(value, str) != (kind == "String")]
    if texts and " of " not in kind:
        yield Refusal(f"values of another type than the feature's, which is {kind}", (*key, "values"))
