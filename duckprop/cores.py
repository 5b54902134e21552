"""Work shared out over the processor's cores, however many callers there are: never more busy threads than cores.

DuckDB calls a function from one thread a row group of 122,880 rows. On a small table that is one thread, and the other
cores help it; on a large one every core has a caller, and nobody helps.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from time import monotonic
from typing import Any, Generic, TypeVar

from duckprop.errors import UsageError

T = TypeVar("T")
VARIABLE = "DUCKPROP_THREADS"
_CALLING = 0.02
"""Seconds for which a thread that has called is taken to come again: DuckDB's threads do, after each 2,048 rows."""
_changed = threading.Condition(threading.Lock())
"""Held while what is below is looked at; told when a core becomes idle."""
_busy = _waiting = 0
_own = threading.local()
"""is_busy: whether this thread is counted already, where work itself shares out work."""
_callers: dict[int, float] = {}
_limit: int | None = None
_pool: ThreadPoolExecutor | None = None


def cores() -> int:
    """Return how many threads may score at a time: DUCKPROP_THREADS, else the cores that this process may use.

    Raises UsageError for a DUCKPROP_THREADS that is no whole number from 1.
    """
    if _limit is not None:
        return _limit
    text = os.environ.get(VARIABLE)
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(
                f"{VARIABLE} is '{text}'", "give the number of threads that may score, from 1, or unset it"
            )
        return int(text)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_cores(count: int | None) -> None:
    """Let at most ``count`` threads score at a time; None takes back what an earlier call said."""
    global _limit
    if count is not None and count < 1:
        raise UsageError(f"{count} threads are asked for", "give a whole number from 1")
    _limit = count
    _forget_pool()


def idle() -> int:
    """Return how many threads ``share`` would work on now, the caller's own included."""
    with _changed:
        others = len(_callers) - (threading.get_ident() in _callers)
        return max(1, cores() - max(_busy, others))


def share(work: Callable[[int], None], count: int) -> None:
    """Call work(0) … work(count − 1) on this thread and on idle cores; work has to release the GIL to gain from it.

    Returns when all are done. After an error nothing more is begun, and that of the lowest number is raised: always
    the same one, as the numbers are begun in order.
    """
    is_inner = getattr(_own, "is_busy", False)
    helpers = _join(count - 1, is_inner)
    numbers = _Numbers(count)
    futures = _summon(helpers, work, numbers)
    try:
        _own.is_busy = True
        numbers.work(work)
    finally:
        _own.is_busy = is_inner
        numbers.stop()
        begun = [future for future in futures if not future.cancel()]
        _leave(helpers - len(begun) + (not is_inner))
        wait(begun)
    if numbers.errors:
        raise numbers.errors[min(numbers.errors)]


class Remembered(Generic[T]):
    """The last thing that each of the last threads computed: a query often asks several things of the same rows.

    One a thread: more would keep memory that DuckDB could write its next rows into while it is still in the cache.
    """

    def __init__(self) -> None:
        self._things: OrderedDict[int, T] = OrderedDict()

    def get(self) -> T | None:
        """Return what this thread put in last, None where that is forgotten."""
        return self._things.get(threading.get_ident())

    def put(self, thing: T) -> None:
        """Keep a thing of this thread, and forget those of threads that came long ago."""
        with _changed:
            self._things[threading.get_ident()] = thing
            self._things.move_to_end(threading.get_ident())
            while len(self._things) > cores():
                self._things.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._things.clear()


class _Numbers:
    """Hands every number out once."""

    def __init__(self, count: int) -> None:
        self._left: Iterator[int] = iter(range(count))
        self.errors: dict[int, BaseException] = {}

    def work(self, work: Callable[[int], None], *, gives_way: bool = False) -> None:
        while (number := next(self._left, None)) is not None:  # one bytecode: no two threads get the same
            try:
                work(number)
            except BaseException as error:
                self.errors[number] = error
                self.stop()
            if gives_way and _waiting:
                return

    def stop(self) -> None:
        self._left = iter(())


def _help(work: Callable[[int], None], numbers: _Numbers) -> None:
    try:
        _own.is_busy = True
        numbers.work(work, gives_way=True)
    finally:
        _own.is_busy = False
        _leave(1)


def _summon(helpers: int, work: Callable[[int], None], numbers: _Numbers) -> list["Future[Any]"]:
    """Set as many helpers to work as can be had: none while the interpreter or the pool is being shut down."""
    futures: list[Future[Any]] = []
    try:
        for _ in range(helpers):
            futures.append(_helping().submit(_help, work, numbers))
    except RuntimeError:
        pass
    return futures


def _join(wanted: int, is_inner: bool) -> int:
    """Wait for an idle core, count the caller as busy, and as many helpers as are wanted and free: return how many."""
    global _busy
    caller = threading.get_ident()
    with _changed:
        _callers[caller] = monotonic()
        if not is_inner:
            _wait()
            _busy += 1
        now = _callers[caller] = monotonic()
        for known in [known for known, seen in _callers.items() if seen < now - _CALLING]:
            del _callers[known]
        helpers = max(0, min(wanted, cores() - max(_busy, len(_callers))))
        _busy += helpers
        return helpers


def _wait() -> None:
    global _waiting
    _waiting += 1
    try:
        _changed.wait_for(lambda: _busy < cores())
    finally:
        _waiting -= 1


def _leave(count: int) -> None:
    global _busy
    with _changed:
        _busy -= count
        if threading.get_ident() in _callers:
            _callers[threading.get_ident()] = monotonic()
        _changed.notify_all()


def _helping() -> ThreadPoolExecutor:
    global _pool
    with _changed:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(cores() - 1, 1), "duckprop")
        return _pool


def _forget_pool() -> None:
    global _pool
    with _changed:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool = None
        _changed.notify_all()


def _after_fork() -> None:
    """A forked child has none of its parent's threads, and perhaps its lock."""
    global _changed, _busy, _waiting, _own, _pool
    _changed, _own, _pool = threading.Condition(threading.Lock()), threading.local(), None
    _busy = _waiting = 0
    _callers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
