"""While it computes: progress, stopping, other threads, other processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import diffews_wgpu
from diffews_wgpu import Segmenter


def test_progress_goes_up(segmenter, lemon, crate):
    told = []
    bank = segmenter.encode(*lemon, progress=lambda stage, done: told.append((stage, done)))
    segmenter.segment(bank, crate, progress=lambda stage, done: told.append((stage, done)))
    stages = list(dict.fromkeys(stage for stage, _ in told))
    assert stages == ["encode support", "support pass", "encode query", "query pass", "decode"]
    for stage in stages:
        shares = [done for of, done in told if of == stage]
        assert shares == sorted(shares) and 0 <= shares[0] and shares[-1] == 1
    opened = []
    Segmenter(progress=lambda stage, done: opened.append(stage))
    assert "load weights" in opened


class Enough(BaseException):
    pass


@pytest.mark.parametrize("error", [Enough("enough"), KeyError("k"), StopIteration(3), SystemExit(4)])
def test_what_a_callback_raises_comes_out_as_it_is(segmenter, bank, lemon, crate, error):
    def stop(stage, done):
        calls.append(stage)
        raise error

    for work in (
        lambda: segmenter.encode(*lemon, progress=stop),
        lambda: segmenter.segment(bank, crate, progress=stop),
        lambda: segmenter.segment(bank, [crate, crate], progress=stop),
        lambda: Segmenter(progress=stop),
    ):
        calls = []
        with pytest.raises(type(error)) as raised:
            work()
        assert raised.value is error and len(calls) == 1
    assert segmenter.segment(bank, crate).found


def test_a_callback_that_calls_its_segmenter_is_told_so(segmenter, bank, crate):
    with pytest.raises(diffews_wgpu.DiffewsError, match="running"):
        segmenter.segment(bank, crate, progress=lambda *_: segmenter.segment(bank, crate))
    with pytest.raises(TypeError):
        segmenter.segment(bank, crate, progress=3)
    assert segmenter.segment(bank, crate).found


def test_other_threads_go_on(segmenter, bank, crate):
    """Each turn of the other thread needs the GIL: with it held, none would come between two stages."""
    turns, stop = [], threading.Event()

    def count():
        while not stop.wait(0.001):
            turns.append(time.perf_counter())

    other = threading.Thread(target=count)
    other.start()
    try:
        begun = time.perf_counter()
        for _ in range(3):
            segmenter.segment(bank, crate)
        seconds = time.perf_counter() - begun
    finally:
        stop.set()
        other.join()
    during = sum(begun <= turn <= begun + seconds for turn in turns)
    # Held throughout, it would be some 200 a second less: switches come only between the calls.
    assert during > 20 * seconds, f"{during} turns in {seconds:.2f} s"


def test_threads_share_a_segmenter(segmenter, bank, lemon, crate):
    right = segmenter.segment(bank, crate).map.tobytes()
    wrong = []

    def work(number):
        for _ in range(2):
            own = segmenter.encode(*lemon) if number % 2 else bank
            if segmenter.segment(own, crate, progress=lambda *_: None).map.tobytes() != right:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    result, masks = segmenter.segment(bank, crate), []
    readers = [threading.Thread(target=lambda: masks.append(result.mask.sum())) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert len(set(masks)) == 1 and len(masks) == 8


INTERRUPTED = """
import sys, time
from diffews_wgpu import Segmenter
segmenter = Segmenter(cache=False)
bank = segmenter.encode(sys.argv[1], sys.argv[2])
print("ready", flush=True)
try:
    while True:
        segmenter.segment(bank, [sys.argv[3]] * 1000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert segmenter.segment(bank, sys.argv[3]).found
print("goes on", flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_ctrl_c_stops_soon_and_all_goes_on(lemon, crate):
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, *lemon, crate], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        sent = time.perf_counter()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.perf_counter() - sent < 5
        assert process.stdout.readline() == "goes on\n"
    assert process.returncode == 0


ENDING = """
import sys, threading
from diffews_wgpu import Segmenter
segmenter = Segmenter(cache=False, self_check=False)
bank = segmenter.encode(sys.argv[1], sys.argv[2])
def work():
    while True:
        segmenter.segment(bank, sys.argv[3], progress=lambda *_: None)
threading.Thread(target=work, daemon=True).start()
import time; time.sleep(0.5)
print("ends", flush=True)
"""


def test_python_ends_while_a_thread_computes(lemon, crate):
    done = subprocess.run([sys.executable, "-c", ENDING, *lemon, crate], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ends\n"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process")
def test_a_forked_process_is_told_what_to_do(segmenter, bank, crate):
    def child(end):
        try:
            segmenter.segment(bank, crate)
        except diffews_wgpu.DiffewsError as error:
            end.send(str(error))

    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=child, args=(theirs,))
    process.start()
    assert ours.poll(60) and "another process" in ours.recv()
    process.join()


DROPPING = """
import gc, os, sys
from diffews_wgpu import Segmenter
segmenter = Segmenter(cache=False, self_check=False)
bank = segmenter.encode(sys.argv[1], sys.argv[2])
right = segmenter.segment(bank, sys.argv[3]).map.tobytes()
child = os.fork()
if child == 0:
    del bank, segmenter
    gc.collect()
    print("dropped", flush=True)
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert segmenter.segment(bank, sys.argv[3]).map.tobytes() == right
print("goes on", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_drops_nothing_of_the_parent(lemon, crate):
    done = subprocess.run([sys.executable, "-c", DROPPING, *lemon, crate], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "dropped\ngoes on\n"), done.stderr


FLAT = """
import resource, sys
import numpy as np
from diffews_wgpu import Segmenter
segmenter = Segmenter(cache=False, self_check=False)
bank = segmenter.encode(sys.argv[1], sys.argv[2])
large = np.asarray(np.broadcast_to(np.uint8(9), (3000, 3000, 3)))
def most(rounds):
    for _ in range(rounds):
        result = segmenter.segment(bank, large)
        result.mask, result.probability
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = most(2)
print(most(4) - before)
"""


def test_memory_stays_flat(lemon):
    """In a process of its own: the most that one has had does not go down again, and other tests have had more."""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", FLAT, *lemon], capture_output=True, text=True, timeout=120)
    # Each round makes 72 MB of arrays and pictures; kilobytes on Linux.
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60_000 * (1024 if sys.platform == "darwin" else 1)
