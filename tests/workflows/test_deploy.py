"""What a deploy makes of the shares that it is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.errors import UsageError
from mlplat.workflows.deploy import Wanted, parse_share, parse_version, shares, unique


def wanted(drop: tuple[str, ...] = (), **by_variant: float) -> Wanted:
    return Wanted(by_variant, {}, frozenset(drop))


def test_the_first_deploy_gives_primary_everything() -> None:
    assert shares({}, wanted()) == {"primary": 1.0}


def test_a_challenger_takes_its_share_from_the_others() -> None:
    assert shares({"primary": 1.0}, wanted(challenger=0.2)) == {"primary": 0.8, "challenger": 0.2}


def test_the_others_keep_their_proportions() -> None:
    assert shares({"a": 0.6, "b": 0.2, "c": 0.2}, wanted(c=0.6)) == {"a": 0.3, "b": 0.1, "c": 0.6}


def test_others_without_traffic_share_what_comes_free_equally() -> None:
    assert shares({"a": 1.0, "b": 0.0, "c": 0.0}, wanted(a=0.5)) == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_a_dropped_variant_leaves_its_share_to_the_rest() -> None:
    assert shares({"a": 0.8, "b": 0.2}, wanted(drop=("b",))) == {"a": 1.0}


def test_asking_again_changes_nothing() -> None:
    once = shares({"primary": 1.0}, wanted(challenger=0.2))
    assert shares(once, wanted(challenger=0.2)) == once


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1), max_size=4),
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1), max_size=4),
)
def test_shares_add_up_to_one_or_are_refused(current: dict[str, float], asked: dict[str, float]) -> None:
    try:
        found = shares(current, Wanted(asked, {}))
    except UsageError:
        return
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-4)
    assert all(value >= 0 for value in found.values())
    assert all(found[name] == pytest.approx(share, abs=1e-5) for name, share in asked.items())


@pytest.mark.parametrize("text", ["challenger=-1", "challenger=abc", "challenger", "=0.5", "challenger=1.5", "a=nan"])
def test_a_share_is_a_number_from_0_to_1(text: str) -> None:
    with pytest.raises(UsageError, match=f"reading --variant {text}"):
        parse_share(text)


@pytest.mark.parametrize(
    ("name", "meant"), [("new_model", "new-model"), ("-a-", "a"), ("x" * 64, "x" * 63), ("ö", "primary")]
)
def test_a_variant_has_a_name_that_sagemaker_takes(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match="a variant's name is up to 63") as caught:
        parse_share(f"{name}=0.2")
    assert caught.value.hint == f"mlplat deploy --variant {meant}=0.2"
    assert parse_share(f"{meant}=0.2") == (meant, 0.2)


@pytest.mark.parametrize("text", ["primary=newest", "primary=0", "primary", "=3", "primary=-1"])
def test_a_version_is_a_number_or_latest(text: str) -> None:
    with pytest.raises(UsageError, match=f"reading --model {text}"):
        parse_version(text)


def test_shares_over_one_are_refused() -> None:
    with pytest.raises(UsageError, match=r"add up to 1.2"):
        shares({"a": 1.0}, wanted(b=0.6, c=0.6))


def test_a_first_deploy_that_leaves_a_rest_is_refused() -> None:
    with pytest.raises(UsageError, match="no other variant runs"):
        shares({}, wanted(challenger=0.2))


def test_a_variant_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="named twice"):
        unique([("a", 0.1), ("a", 0.2)], "--variant")
