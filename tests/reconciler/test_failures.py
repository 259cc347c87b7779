"""What fails, is interrupted or dies: told as it is, and made good by the next run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence

import pytest
from tests.fakes import FakeTopic, Killed, refused
from tests.reconciler.conftest import EDITED, Recorder, World, platform

from mlplat.errors import (
    CredentialsError,
    Interrupted,
    MlplatError,
    PartlyDone,
    PermissionDenied,
    Several,
    WaitTimeout,
)
from mlplat.reconciler import journal
from mlplat.reconciler.apply import apply
from mlplat.reconciler.interrupts import stoppable
from mlplat.reconciler.plan import plan
from mlplat.resources.base import Declared

DENIED = PermissionDenied(service="fake", operation="create", code="AccessDenied", reason="not allowed")


def topic(**fields: object) -> list[Declared]:
    return [Declared("a.fake_topic.t", FakeTopic(name="t", **fields))]  # type: ignore[arg-type]


def count_calls(world: World, declared: Sequence[Declared]) -> int:
    before = len(world.cloud.calls)
    world.apply(declared)
    return len(world.cloud.calls) - before


class TestFailures:
    @pytest.mark.parametrize("fault", ["refuse", "drop", "lose", "kill_before", "kill_after"])
    def test_whichever_call_it_hits_the_next_run_converges(self, world: World, fault: str) -> None:
        total = count_calls(world, platform()) + count_calls(world, EDITED)
        hit = 0
        for number in range(total + 1):
            each = World(world.folder / str(number))
            each.cloud.faults[number] = fault
            for declared in (platform(), EDITED):
                hit += self._survive(each, declared)
                each.apply(declared)
                each.check(declared)
        assert hit == total if fault not in ("drop", "lose") else hit == 0

    @pytest.mark.parametrize("fault", ["refuse", "drop", "lose", "kill_before", "kill_after"])
    def test_and_so_does_destroy(self, world: World, fault: str) -> None:
        for number in range(7):
            each = World(world.folder / str(number))
            each.apply(platform())
            each.cloud.faults[next(each.cloud._count) + 1 + number] = fault
            try:
                each.destroy()
            except (Killed, MlplatError):
                each.cloud.killed.clear()
            each.destroy()
            assert (each.cloud.things, each.state.entries) == ({}, {})

    def _survive(self, world: World, declared: Sequence[Declared]) -> int:
        try:
            world.apply(declared)
        except (Killed, MlplatError):
            world.cloud.killed.clear()
            return 1
        return 0

    @pytest.mark.parametrize("when", ["before", "torn", "after"])
    def test_killed_at_every_write_of_the_journal(
        self, world: World, when: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole, writes, last = journal._write_all, 0, 0

        def write(handle: int, content: bytes) -> None:
            nonlocal writes
            world.cloud.live()
            writes += 1
            if writes != last:
                return whole(handle, content)
            if when != "before":
                whole(handle, content[: len(content) // 2] if when == "torn" else content)
            return world.cloud.die()

        monkeypatch.setattr(journal, "_write_all", write)
        killed = 0
        for last in range(1, 60):
            world = World(world.folder.parent / str(last))
            for declared in (platform(), EDITED):
                writes = writes if declared is EDITED else 0
                killed += self._survive(world, declared)
                world.apply(declared)
                world.check(declared)
            if writes < last:
                break
        assert killed == last - 1 > 20

    def test_what_rests_on_a_failure_is_skipped_and_the_rest_goes_on(self, world: World) -> None:
        world.cloud.always["create", "net"] = refused("create", "VpcLimitExceeded", "no more")
        with pytest.raises(PartlyDone) as caught:
            world.apply(platform())
        assert caught.value.exit_code == 3
        assert caught.value.message == (
            "2 done and saved, 1 failed, 3 skipped because of that:\n"
            "  creating fake_network net: VpcLimitExceeded: no more (request R-1)"
        )
        assert sorted(world.watch.said("skipped")) == [
            "a.fake_network.part", "b.fake_topic.end", "b.fake_topic.job"
        ]  # fmt: skip
        assert world.state.entries.keys() >= {"a.fake_vault.raw", "b.fake_model.m"}

    def test_the_error_itself_when_nothing_else_is_done(self, world: World) -> None:
        world.cloud.always["create", "t"] = DENIED
        with pytest.raises(PermissionDenied, match="creating fake_topic t: AccessDenied: not allowed") as caught:
            world.apply(topic())
        assert caught.value.exit_code == 4

    def test_several_with_the_exit_code_they_share(self, world: World) -> None:
        world.cloud.always |= {("create", "t1"): DENIED, ("create", "t2"): DENIED}
        with pytest.raises(Several) as caught:
            world.apply([Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in (1, 2)])
        assert (caught.value.exit_code, len(caught.value.errors)) == (4, 2)

    def test_a_bug_in_a_kind_keeps_its_cause(self, world: World) -> None:
        world.cloud.always["create", "t"] = ZeroDivisionError("by zero")
        with pytest.raises(MlplatError, match="creating fake_topic t: ZeroDivisionError: by zero") as caught:
            world.apply(topic())
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_expired_credentials_stop_the_run(self, world: World) -> None:
        world.parallelism = 1
        for n in range(10):
            world.cloud.always["create", f"t{n}"] = CredentialsError("expired")
        with pytest.raises(CredentialsError):
            world.apply([Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(10)])
        assert len(world.watch.said("started")) == 1


class TestInterrupts:
    def many(self) -> list[Declared]:
        return [Declared(f"a.fake_topic.t{n}", FakeTopic(name=f"t{n}")) for n in range(10)]

    def test_the_first_one_lets_what_runs_finish(self, world: World) -> None:
        world.parallelism = 2

        def press(verb: str, name: str) -> None:
            if name == "t3":
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)

        world.cloud.on_call = press
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(Interrupted) as caught:
            world.apply(self.many())
        assert signal.getsignal(signal.SIGINT) is before
        done = len(world.cloud.things)
        assert 4 <= done < 10
        assert f"stopped: {done} done and saved, {10 - done} not started" in caught.value.message
        assert (caught.value.exit_code, caught.value.hint) == (130, "mlplat apply --namespace test")
        assert all(entry.intent is None for entry in world.state.entries.values())
        world.cloud.on_call = lambda _verb, _name: None
        world.apply(self.many())
        world.check(self.many())

    @pytest.mark.parametrize("signals", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)])
    def test_the_second_one_gives_up_waits(self, world: World, signals: Sequence[signal.Signals]) -> None:
        session = world.session
        world.cloud.lag = 3
        made = world.plan(topic())

        def press(verb: str, name: str) -> None:
            for each in signals:
                os.kill(os.getpid(), each)
                time.sleep(0.1)
            assert session.cancelled.wait(5)

        world.cloud.on_call = press
        with pytest.raises(Interrupted, match=r"under way: a.fake_topic.t"):
            apply(made, session, world.store, watch=Recorder())
        world.cloud.on_call = lambda _verb, _name: None
        world.apply(topic())
        world.check(topic())
        assert world.cloud.calls == [("create", "t")]

    @pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
    def test_one_at_the_end_lets_the_state_be_saved(
        self, world: World, monkeypatch: pytest.MonkeyPatch, which: signal.Signals
    ) -> None:
        backend, pressed = world.files, list[bool]()
        world.backend, write = lambda: backend, backend.write

        def press(content: bytes, *, older: int | None = None) -> str | None:
            if world.cloud.calls and not pressed:
                pressed.append(True)
                os.kill(os.getpid(), which)
                time.sleep(0.1)
            return write(content, older=older)

        monkeypatch.setattr(backend, "write", press)
        world.apply(topic())
        assert pressed
        assert backend.read("journal") is None, "the state is written, its journal folded"
        world.check(topic())

    def test_a_run_that_takes_too_long_gives_up_its_waits_and_the_next_one_joins_them(self, world: World) -> None:
        session = world.session
        world.cloud.lag = 3
        world.cloud.on_call = lambda _verb, _name: session.cancelled.wait(5)
        with pytest.raises(WaitTimeout, match=r"its time is over.* under way: a.fake_topic.t") as caught:
            apply(world.plan(topic()), session, world.store, within=0.05, watch=Recorder())
        assert (caught.value.exit_code, caught.value.hint) == (1, "mlplat apply --namespace test")
        world.cloud.on_call = lambda _verb, _name: None
        world.apply(topic())
        world.check(topic())
        assert world.cloud.calls == [("create", "t")]

    def test_another_thread_can_apply_without_listening(self, world: World) -> None:
        thread = threading.Thread(target=world.apply, args=(topic(),))
        thread.start()
        thread.join()
        world.check(topic())

    @pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
    def test_reading_what_is_there_stops_at_once(self, world: World, which: signal.Signals) -> None:
        session = world.session

        def see(_what: str, _act: object) -> None:
            os.kill(os.getpid(), which)
            assert session.cancelled.wait(5)

        world.cloud.read = see  # type: ignore[assignment, method-assign]
        with pytest.raises(Interrupted, match="nothing was changed"):
            plan(session, world.state, topic())

    @pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
    def test_a_command_that_is_stopped_elsewhere(self, which: signal.Signals) -> None:
        before = signal.getsignal(which)
        with pytest.raises(Interrupted) as caught, stoppable():
            os.kill(os.getpid(), which)
            time.sleep(5)
        assert (caught.value.exit_code, signal.getsignal(which)) == (130, before)
