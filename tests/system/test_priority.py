"""A library that makes threads more urgent than all others is overruled."""

import os
import sys
import threading

import pytest

from pipeline.system.priority import unchanged_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have a scheduling of their own on Linux")


def test_the_thread_and_those_that_it_starts_stay_as_they_were() -> None:
    ended, found = threading.Event(), list[int]()

    def work() -> None:
        ended.wait(20)
        found.append(os.sched_getscheduler(0))

    before, thread = os.sched_getscheduler(0), threading.Thread(target=work)
    with unchanged_priority():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # a new thread inherits it
        thread.start()
    assert os.sched_getscheduler(0) == before != os.SCHED_BATCH
    ended.set()
    thread.join()
    assert found == [before]
