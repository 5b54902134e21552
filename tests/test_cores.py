"""Threads shared between callers: never more in work than cores, whoever calls, and nothing left behind."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest

import duckprop
from duckprop import cores
from duckprop.errors import UsageError


@pytest.fixture(autouse=True)
def clean():
    """Every test begins and ends with nobody counted as busy, and takes back what it said."""
    assert (cores._busy, cores._waiting) == (0, 0)
    yield
    cores.set_cores(None)
    assert (cores._busy, cores._waiting) == (0, 0)


class Watch:
    """Work that counts who is in it: most at a time, threads ever, and the numbers it was given."""

    def __init__(self, seconds=0.001):
        self.lock, self.seconds = threading.Lock(), seconds
        self.now, self.most, self.threads, self.numbers = 0, 0, set(), []

    def __call__(self, number):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.current_thread().name)
            self.numbers.append(number)
        sleep(self.seconds)
        with self.lock:
            self.now -= 1


def within(seconds, function):
    """Call a function on a thread of its own: a test that hangs fails instead."""
    errors = []

    def call():
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_one_caller_is_helped_by_all_other_cores(count):
    cores.set_cores(count)
    sleep(0.03)  # callers of earlier tests are forgotten
    watch, together = Watch(), threading.Barrier(count)

    def work(number):
        if number < count:
            together.wait(10)  # as many are in work at the same time
        watch(number)

    cores.share(work, 24)
    assert sorted(watch.numbers) == list(range(24))
    assert watch.most <= len(watch.threads) == count


@pytest.mark.parametrize("numbers", [0, 1, 2])
def test_no_more_threads_than_there_is_to_do(numbers):
    cores.set_cores(4)
    watch = Watch()
    cores.share(watch, numbers)
    assert sorted(watch.numbers) == list(range(numbers))
    assert watch.most <= numbers


@pytest.mark.parametrize("callers", [2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_never_more_threads_in_work_than_cores(callers, count):
    cores.set_cores(count)
    watch = Watch()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: cores.share(watch, 5), range(40)))
    assert watch.most <= count
    assert len(watch.numbers) == 200


def test_callers_that_come_again_and_again_share_the_cores_without_helpers(monkeypatch):
    monkeypatch.setattr(cores, "_CALLING", 60)
    cores._callers.clear()
    cores.set_cores(2)
    watch, ready = Watch(0.002), threading.Barrier(2)

    def call():
        ready.wait()
        cores.share(lambda _: sleep(0.005), 1)  # both are known as callers now
        ready.wait()
        for _ in range(20):
            cores.share(watch, 4)

    threads = [threading.Thread(target=call, name=f"caller {number}") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watch.threads == {"caller 0", "caller 1"}


def test_a_helper_gives_way_to_a_caller():
    cores.set_cores(2)
    sleep(0.03)
    long, short, begun = Watch(0.02), Watch(), threading.Event()

    def work(number):
        begun.set()
        long(number)

    caller = threading.Thread(target=cores.share, args=(work, 80))
    caller.start()
    begun.wait()
    sleep(0.03)
    cores.share(short, 1)
    assert caller.is_alive(), "the second caller did not wait for the first one's end"
    assert len(long.numbers) < 70
    caller.join()
    assert sorted(long.numbers) == list(range(80))


def test_a_caller_does_not_wait_for_a_helper_that_has_not_begun():
    cores.set_cores(2)
    sleep(0.03)
    free, watch = threading.Event(), Watch()
    held_up = cores._helping().submit(free.wait, 30)
    try:
        within(10, lambda: cores.share(watch, 4))
    finally:
        free.set()
        held_up.result()
    assert (watch.numbers, watch.most) == ([0, 1, 2, 3], 1)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_work_that_shares_out_work_itself_does_not_hang(count):
    cores.set_cores(count)
    watch = Watch()

    def outer(number):
        cores.share(lambda inner: cores.share(watch, 2), 3)

    within(20, lambda: [cores.share(outer, 5) for _ in range(5)])
    assert len(watch.numbers) == 5 * 5 * 3 * 2
    assert watch.most <= count


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("bad", [{0}, {3}, {7}, {3, 4, 5}, set(range(40))])
def test_the_error_of_the_lowest_number_is_raised_and_nothing_more_is_begun(count, bad):
    cores.set_cores(count)
    begun = []

    def work(number):
        begun.append(number)
        sleep(0.001 if number == min(bad) else 0)
        if number in bad:
            raise ValueError(number)

    for _ in range(5):
        with pytest.raises(ValueError, match=rf"^{min(bad)}$"):
            within(20, lambda: cores.share(work, 40))
        assert (cores._busy, cores._waiting) == (0, 0)
    assert count > 1 or max(begun) == min(bad)
    watch = Watch()
    cores.share(watch, 8)
    assert len(watch.numbers) == 8


def test_a_helpers_error_is_raised_in_the_caller():
    cores.set_cores(2)
    sleep(0.03)
    caller, helped = threading.current_thread(), threading.Event()

    def work(number):
        if threading.current_thread() is not caller:
            helped.set()
            raise KeyError("from a helper")
        helped.wait(5)

    with pytest.raises(KeyError, match="from a helper"):
        cores.share(work, 2)


def test_an_interrupt_ends_the_work_and_leaves_nothing_counted():
    cores.set_cores(2)
    begun = []

    def work(number):
        begun.append(number)
        sleep(0.01)
        if number == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cores.share(work, 100)
    assert len(begun) < 60


@pytest.mark.parametrize("error", [RuntimeError("cannot schedule new futures after shutdown")])
def test_where_no_helper_can_be_had_the_caller_works_alone(monkeypatch, error):
    class Closed:
        def submit(self, *arguments):
            raise error

    cores.set_cores(4)
    monkeypatch.setattr(cores, "_helping", Closed)
    watch = Watch()
    cores.share(watch, 6)
    assert (sorted(watch.numbers), watch.most) == (list(range(6)), 1)


def test_the_number_of_threads_may_change_while_they_work(monkeypatch):
    watch, is_over = Watch(0.0005), threading.Event()

    def change():
        for count in (1, 4, 2, None, 3) * 12:
            cores.set_cores(count)
            sleep(0.002)
        is_over.set()

    def call(_):
        while not is_over.is_set():
            cores.share(watch, 6)

    def everything():
        with ThreadPoolExecutor(4) as pool:
            done = pool.map(call, range(3))
            pool.submit(change).result()
            list(done)

    within(60, everything)
    assert watch.most <= max(4, os.cpu_count() or 1)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " ", "²", "1e3"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv(cores.VARIABLE, text)
    with pytest.raises(UsageError, match=f"DUCKPROP_THREADS is '{text}'\ngive the number of threads"):
        cores.cores()
    with pytest.raises(UsageError, match="DUCKPROP_THREADS"):
        cores.share(Watch(), 3)
    monkeypatch.setenv(cores.VARIABLE, "2")
    cores.share(Watch(), 3)


@pytest.mark.parametrize("count", [0, -3])
def test_a_call_for_no_threads_is_refused(count):
    with pytest.raises(UsageError, match=f"{count} threads are asked for"):
        cores.set_cores(count)


def test_what_is_called_for_counts_before_the_variable_and_that_before_the_machine(monkeypatch):
    monkeypatch.setenv(cores.VARIABLE, "3")
    assert cores.cores() == 3
    cores.set_cores(5)
    assert cores.cores() == 5
    cores.set_cores(None)
    assert cores.cores() == 3
    monkeypatch.setenv(cores.VARIABLE, "")
    assert 1 <= cores.cores() <= (os.cpu_count() or 1)


_FORK = """
import multiprocessing, os, threading
import numpy as np
from scipy import sparse
from duckprop import cores
from duckprop.compiled import CompiledScorer
from duckprop.network import Layer, Network
from duckprop.sparse import from_scipy

random = np.random.default_rng(1)
first = Layer(random.normal(size=(50, 16)).astype(np.float32), np.zeros(16, np.float32))
weight, bias = random.normal(size=(16, 40, 2)).astype(np.float32), np.zeros((40, 2), np.float32)
scorer = CompiledScorer(Network(first, (), weight, bias))
matrix = sparse.random(9000, 50, 0.2, "csr", np.float32, random_state=1)
cores.set_cores(3)

def score(_=None):
    return scorer.score(from_scipy(matrix))

def check():
    assert (cores._busy, cores._waiting, cores._pool) == (0, 0, None), "it begins with nobody at work"
    np.testing.assert_array_equal(score(), whole)
    assert cores._pool is not None, "it has helpers of its own"

def fork():
    child = os.fork()
    if not child:
        status = 1
        try:
            check()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0

whole = score()
for _ in range(3):
    fork()
inside = threading.Event()
leave = threading.Event()

def busy(_):
    inside.set()
    leave.wait()

thread = threading.Thread(target=cores.share, args=(busy, 3))
thread.start()
inside.wait()
fork()  # while all cores are taken
with cores._changed:
    fork()  # while another thread could hold the lock
leave.set()
thread.join()
cores.share(lambda number: fork() if number == 0 else None, 4)  # from within work
with multiprocessing.get_context("fork").Pool(2) as pool:
    for found in pool.map(score, range(4)):
        np.testing.assert_array_equal(found, whole)
np.testing.assert_array_equal(score(), whole)
assert (cores._busy, cores._waiting) == (0, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_scores_the_same_bits_with_helpers_of_its_own():
    root = Path(duckprop.__file__).parents[1]
    command = [sys.executable, "-W", "ignore", "-c", _FORK]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
