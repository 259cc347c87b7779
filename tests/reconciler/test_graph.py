from __future__ import annotations

import threading
import time
from graphlib import CycleError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlplat.reconciler import graph


@st.composite
def dags(draw: st.DrawFn) -> dict[int, set[int]]:
    size = draw(st.integers(0, 12))
    return {n: set(draw(st.lists(st.integers(0, n - 1), max_size=3)) if n else ()) for n in range(size)}


@given(dags())
def test_order_keeps_every_dependency_and_loses_nothing(dag: dict[int, set[int]]) -> None:
    found = graph.order(dag)
    assert sorted(found) == sorted(dag)
    assert all(found.index(before) < found.index(node) for node in dag for before in dag[node])


def test_order_is_as_given_where_it_is_free() -> None:
    assert graph.order({"b": (), "a": (), "c": ("b",)}) == ["b", "a", "c"]


def test_order_names_the_circle() -> None:
    with pytest.raises(CycleError):
        graph.order({"a": ("b",), "b": ("a",)})


def test_reached_goes_all_the_way() -> None:
    assert graph.reached({"a": ("b",), "b": ("c",), "d": ("c",)}, ["a"]) == {"a", "b", "c"}


def test_of_a_cycle_the_softest_edge_goes() -> None:
    circle = {"a": {"b"}, "b": {"c"}, "c": {"a"}}
    assert graph.without_cycles(circle, {("b", "c")}, {("a", "b")}) == {"a": {"b"}, "b": set(), "c": {"a"}}
    with pytest.raises(CycleError):
        graph.without_cycles(circle, {("x", "y")})


@given(dags(), st.integers(1, 4), st.sets(st.integers(0, 11)))
def test_run_does_each_after_its_own_and_skips_what_rests_on_failures(
    dag: dict[int, set[int]], parallelism: int, broken: set[int]
) -> None:
    ended: list[int] = []

    def work(node: int) -> None:
        assert dag[node] <= set(ended)
        if node in broken:
            raise ValueError(node)
        ended.append(node)

    told: list[int] = []
    found = graph.run(dag, work, parallelism=parallelism, skipped=lambda node, _because: told.append(node))
    assert sorted([*found.done, *found.failed, *found.skipped]) == sorted(dag)
    assert sorted(told) == sorted(found.skipped)
    assert found.failed.keys() <= broken
    assert all(
        because in graph.reached(dag, [node]) and because in found.failed for node, because in found.skipped.items()
    )
    assert all(graph.reached(dag, [node]).isdisjoint(broken) for node in found.done)


def test_a_node_starts_the_moment_its_own_dependencies_are_done() -> None:
    slow, later = threading.Event(), threading.Event()

    def work(node: str) -> None:
        if node == "slow":
            assert later.wait(5), "what doesn't rest on the slow one had to wait for it"
        if node == "after quick":
            later.set()

    found = graph.run({"slow": (), "quick": (), "after quick": ("quick",)}, work, parallelism=2)
    assert not found.failed
    assert not slow.is_set()


def test_the_longest_chain_goes_first() -> None:
    began: list[str] = []
    graph.run({"x": (), "y": (), "a": (), "b": ("a",), "c": ("b",)}, began.append, parallelism=1)
    assert began[:3] == ["a", "b", "c"] or began[0] == "a"


def test_no_more_than_parallelism_at_once() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def work(_node: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1

    graph.run(dict.fromkeys(range(12), ()), work, parallelism=3)
    assert most == 3


def test_stopped_starts_nothing_more() -> None:
    did: list[int] = []
    found = graph.run({1: (), 2: (1,)}, did.append, parallelism=1, stopped=lambda: bool(did))
    assert (did, found.done, found.skipped) == ([1], [1], {})


def test_the_end_of_the_process_is_no_failure() -> None:
    def work(_node: int) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        graph.run({1: ()}, work, parallelism=1)
