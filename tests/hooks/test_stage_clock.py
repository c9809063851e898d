"""What a process of a pipeline did with its time."""

import json
from argparse import Namespace

import pytest

from mmseg_infopro.hooks import stage_clock
from mmseg_infopro.hooks.stage_clock import StageClock, write_stage_times
from mmseg_infopro.parallel.watch import Watch


@pytest.fixture
def now(monkeypatch):
    """The time, which only tests let pass."""
    clock = Namespace(now=100.0)
    monkeypatch.setattr(stage_clock, 'monotonic', lambda: clock.now)
    return clock


def test_a_process_computes_when_it_waits_for_no_other(now):
    watch, clock = Namespace(seconds=7.0, sending=5.0), StageClock()
    for _ in range(3):
        now.now += 10  # between two steps
        watch.seconds += 4  # where logs are brought together
        clock.begin(watch)
        now.now += 3
        watch.seconds += 1.25  # of which 1 s for the process before
        watch.sending += 0.25
        clock.end(watch)
        first = clock.since_first_log(2.0)
    assert first == dict(compute=2 * 1.75, send=2 * 0.25, wait=2 * 1.0, load=0.0)
    assert clock.since_first_log(2.5)['load'] == 0.5


def test_steps_before_the_first_log_do_not_count(now):
    clock = StageClock()
    clock.end(Namespace(seconds=0.0, sending=0.0))  # a step that did not begin
    assert set(clock.since_first_log(9.0).values()) == {0.0}


def test_waiting_for_a_process_behind_is_sending(monkeypatch):
    now = Namespace(now=0.0)
    monkeypatch.setattr('mmseg_infopro.parallel.watch.monotonic', lambda: now.now)
    monkeypatch.setattr(
        'mmseg_infopro.parallel.watch.PrefixStore',
        lambda name, store: Namespace(set=lambda *args: None),
    )
    watch = Watch(None, [0, 1, 2], rank=1, timeout=9)
    for peer, seconds in ((2, 1.0), (0, 2.0), (None, 4.0)):
        with watch.waiting(peer):
            now.now += seconds
    assert (watch.seconds, watch.sending) == (7.0, 1.0)


def test_what_is_written_is_what_a_report_reads(tmp_path):
    spent = dict(compute=1.0, send=0.0, wait=2.0, load=0.5)
    write_stage_times(tmp_path, (50, 150), [spent, spent])
    found = json.loads((tmp_path / 'stage_times.json').read_text())
    assert found == dict(iterations=[50, 150], processes=[spent, spent])
