# ruff: noqa: E501  one case a line

from __future__ import annotations

from collections.abc import Callable

import pytest

Wrong = Callable[..., list[str]]
T = "transformations.customer"


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (f"[{T}]\nsource = 'customers'", f'development.toml:2: {T}.source = "customers": a folder of the raw bucket that ends in /: "customers/"'),
        (f"[{T}]\nschedule = 'rate(1 days)'", f'development.toml:2: {T}.schedule = "rate(1 days)": a rate, "rate(1 day)" or "rate(6 hours)", or six fields, "cron(0 3 * * ? *)", of which the day of the month or of the week is ?'),
        (f"[{T}]\nschedule = 'cron(0 3 * * * *)'", f'development.toml:2: {T}.schedule = "cron(0 3 * * * *)": a rate, "rate(1 day)" or "rate(6 hours)", or six fields, "cron(0 3 * * ? *)", of which the day of the month or of the week is ?'),
        (f"[{T}]\nengine = 'glue'\nschedule = 'rate(1 day)'", f'development.toml:3: {T}.schedule = "rate(1 day)": Glue knows no rates: "cron(0 3 * * ? *)", for example'),
        (f"[{T}]\nengine = 'glue'\nvolume_gb = 5", f"development.toml:3: {T}.volume_gb = 5: a job with engine = \"glue\" runs on Glue's own machines"),
        (f"[{T}]\ninstance_type = 'm5.large'", f'development.toml:2: {T}.instance_type = "m5.large": not an instance type that SageMaker runs processing jobs on (ml.m5.large, for example); did you mean "ml.m5.large"?'),
        (f"[{T}]\nfeature_group = 'custmer'", f'development.toml:2: {T}.feature_group = "custmer": there is no such feature group; there is customer, product, transaction; did you mean "customer"?'),
        ("[transformations.clicks]\nscript = 'x.py'\nsource = 'clicks/'", "development.toml:1: transformations.clicks: there is no such feature group; there is customer, product, transaction"),
        (f"[{T}.rules]\nstat = {{ required = true }}", f'development.toml:2: {T}.rules.stat: no feature of group customer; did you mean "state"?'),
        (f"[{T}.rules]\nstate = {{ min = 1 }}", f"development.toml:2: {T}.rules.state.min = 1: a rule that a feature of type String can't have"),
        (f"[{T}.rules]\naccount_length = {{ pattern = '.' }}", f"development.toml:2: {T}.rules.account_length.pattern = \".\": a rule that a feature of type Integral can't have"),
        (f"[{T}.rules]\naccount_length = {{ values = ['x'] }}", f"development.toml:2: {T}.rules.account_length.values = [\"x\"]: values of another type than the feature's, which is Integral"),
        (f"[{T}.rules]\naccount_length = {{ min = 2, max = 1 }}", f"development.toml:2: {T}.rules.account_length.max = 1: less than min, which is 2.0"),
        (f"[{T}.rules]\nstate = {{ pattern = '[' }}", f'development.toml:2: {T}.rules.state.pattern = "[": not a regular expression: unterminated character set at position 0'),
        ("[crawler]\nschedule = 'rate(1 day)'", 'development.toml:2: crawler.schedule = "rate(1 day)": Glue knows no rates: "cron(0 3 * * ? *)"'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_with_its_place_and_what_is_allowed(wrong: Wrong, toml: str, told: str) -> None:
    assert wrong(toml) == [told]
