"""Threads for transfers: so many at a time, and each can be cancelled."""

import asyncio
import threading

import pytest

from opsconsole_protocol.error import Unavailable
from opsconsole_protocol.host import transfer_thread
from opsconsole_protocol.host.transfer_thread import Cancel, TransferThreads
from tests.waiting import until


class Opened:
    """Something that a thread waits in until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


async def test_results_and_errors_come_back() -> None:
    threads = TransferThreads(2)

    def fail(_: Cancel) -> None:
        raise Unavailable("no")

    assert await threads.run(lambda _: 7) == 7
    with pytest.raises(Unavailable, match="no"):
        await threads.run(fail)


async def test_more_work_than_threads_waits_for_its_turn() -> None:
    threads = TransferThreads(1)
    first, order = threading.Event(), list[int]()

    def hold(_: Cancel) -> None:
        first.wait(20)
        order.append(1)

    tasks = [asyncio.create_task(threads.run(hold)), asyncio.create_task(threads.run(lambda _: order.append(2)))]
    await until(lambda: threads.is_busy)
    assert order == []
    first.set()
    await asyncio.gather(*tasks)
    assert order == [1, 2]


async def test_who_is_cancelled_is_woken_where_it_waits() -> None:
    threads = TransferThreads(1)
    opened = Opened()
    entered = threading.Event()

    def wait(cancel: Cancel) -> bool:
        with cancel.closing(opened):
            entered.set()
            return opened.closed.wait(20)

    task = asyncio.create_task(threads.run(wait))
    await until(entered.is_set)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert opened.closed.is_set()
    assert await threads.run(lambda _: "next") == "next", "its turn is over"


def test_what_is_opened_after_the_cancel_is_closed_at_once() -> None:
    cancel, opened = Cancel(), Opened()
    cancel.set()
    with cancel.closing(opened):
        assert opened.closed.is_set()


async def test_closing_cancels_all() -> None:
    threads = TransferThreads(2)
    tasks = [asyncio.create_task(threads.run(lambda cancel: cancel.wait(20))) for _ in range(2)]
    await until(lambda: threads.is_busy)
    threads.close()
    assert await asyncio.gather(*tasks) == [True, True]


def test_what_is_cancelled_can_say_so_before_its_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that only goes away looks to the other one as if the way there had broken."""
    monkeypatch.setattr(transfer_thread, "GRACE_S", 60.0)
    cancel, opened = Cancel(), Opened()
    with cancel.closing(opened):
        cancel.set()
    assert not opened.closed.is_set()
    monkeypatch.setattr(transfer_thread, "GRACE_S", 0.01)
    cancel, late = Cancel(), Opened()
    with cancel.closing(opened):
        cancel.set()
        assert opened.closed.wait(10), "who waits in it for the other end is woken"
    with cancel.closing(late):
        assert late.closed.is_set()
