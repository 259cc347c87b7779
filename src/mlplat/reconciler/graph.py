"""Dependency graphs: node -> the nodes that come before it. Order, reach, and running work along one in parallel."""

from __future__ import annotations

import heapq
import queue
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)
Graph = Mapping[N, Collection[N]]


def order(graph: Graph[N]) -> list[N]:
    """Every node after what comes before it; otherwise in the order given. Raises graphlib.CycleError."""
    sorter, place = TopologicalSorter(graph), {node: index for index, node in enumerate(graph)}
    sorter.prepare()
    ready: list[tuple[int, N]] = []
    found: list[N] = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heapq.heappush(ready, (place.get(node, -1), node))
        while ready:
            node = heapq.heappop(ready)[1]
            found.append(node)
            sorter.done(node)
    return [node for node in found if node in place]


def reversed_graph(graph: Graph[N]) -> dict[N, set[N]]:
    """Node -> the nodes that come after it."""
    found: dict[N, set[N]] = {node: set() for node in graph}
    for node, before in graph.items():
        for each in before:
            found.setdefault(each, set()).add(node)
    return found


def reached(graph: Graph[N], start: Iterable[N]) -> set[N]:
    """`start` and everything that comes before it, however far."""
    found: set[N] = set()
    left = list(start)
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left.extend(graph.get(node, ()))
    return found


def without_cycles(graph: Mapping[N, set[N]], *soft: Collection[tuple[N, N]]) -> dict[N, set[N]]:
    """The graph without the soft edges (node, before) that close a cycle; of each cycle, the softest goes, every
    time the same.

    `soft` are sets of edges, the softest first. Raises graphlib.CycleError when a cycle has none.
    """
    place = {node: index for index, node in enumerate(graph)}
    found = {node: sorted(before, key=lambda each: place.get(each, -1)) for node, before in graph.items()}
    while True:
        try:
            TopologicalSorter(found).prepare()
        except CycleError as error:
            edges = [(after, before) for before, after in pairwise(error.args[1])]
            loose = next((edge for each in soft for edge in edges if edge in each), None)
            if loose is None:
                raise
            found[loose[0]].remove(loose[1])
        else:
            return {node: set(before) for node, before in found.items()}


@dataclass
class Run(Generic[N]):
    """What became of each node: done, failed (its error), or skipped (the failed node that it rests on)."""

    done: list[N] = field(default_factory=list)
    failed: dict[N, Exception] = field(default_factory=dict)
    skipped: dict[N, N] = field(default_factory=dict)
    """Only nodes that rest on a failed one; those that were left when the run was stopped are in none."""


def run(
    graph: Graph[N],
    work: Callable[[N], None],
    *,
    parallelism: int,
    stopped: Callable[[], bool] = lambda: False,
    skipped: Callable[[N, N], None] = lambda _node, _because: None,
) -> Run[N]:
    """Do `work` for every node on a thread pool; a node starts the moment what comes before it is done.

    A node whose work raises an Exception fails, and what rests on it is skipped. Nothing new starts while
    `stopped()`. A BaseException ends the run at once and is raised. Longest chains go first.
    """
    return _Runner(graph, work, parallelism, stopped, skipped).run()


class _Runner(Generic[N]):
    def __init__(
        self,
        graph: Graph[N],
        work: Callable[[N], None],
        parallelism: int,
        stopped: Callable[[], bool],
        skipped: Callable[[N, N], None],
    ) -> None:
        self.work, self.parallelism, self.stopped, self.skipped = work, parallelism, stopped, skipped
        self.after = reversed_graph(graph)
        self.sorter = TopologicalSorter(graph)
        self.sorter.prepare()
        self.rank = {node: index for index, node in enumerate(_by_length(self.after))}
        self.ready: list[tuple[int, N]] = []
        self.ended: queue.SimpleQueue[tuple[N, BaseException | None]] = queue.SimpleQueue()
        self.found = Run[N]()

    def run(self) -> Run[N]:
        running = 0
        with ThreadPoolExecutor(self.parallelism) as pool:
            while True:
                for node in self.sorter.get_ready() if self.sorter.is_active() else ():
                    heapq.heappush(self.ready, (self.rank[node], node))
                while self.ready and running < self.parallelism and not self.stopped():
                    pool.submit(self._attempt, heapq.heappop(self.ready)[1])
                    running += 1
                if not running:
                    return self.found
                node, error = self.ended.get()
                running -= 1
                self._note(node, error)

    def _attempt(self, node: N) -> None:
        try:
            self.work(node)
        except BaseException as error:
            self.ended.put((node, error))
        else:
            self.ended.put((node, None))

    def _note(self, node: N, error: BaseException | None) -> None:
        if error is None:
            self.found.done.append(node)
            self.sorter.done(node)
            return
        if not isinstance(error, Exception):
            raise error
        self.found.failed[node] = error
        for each in sorted(reached(self.after, [node]) - {node}, key=self.rank.__getitem__):
            if each not in self.found.skipped:
                self.found.skipped[each] = node
                self.skipped(each, node)


def _by_length(after: Mapping[N, Collection[N]]) -> list[N]:
    """Nodes by the length of the chain that waits for them, longest first."""
    length: dict[N, int] = {}
    for node in TopologicalSorter(after).static_order():
        length[node] = 1 + max((length[each] for each in after.get(node, ())), default=0)
    return sorted(length, key=lambda node: -length[node])
