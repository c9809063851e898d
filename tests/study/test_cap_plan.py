"""Plans of a study under caps: what another clone found and timed is not timed again."""

import json

import pytest

from mmseg_infopro.report.way import parse_way
from mmseg_infopro.study import cap_plan
from mmseg_infopro.study.cap_plan import PLAN, CapPlan

WAYS = [parse_way('e2e'), parse_way('greedy:3')]


@pytest.fixture
def timed(monkeypatch):
    """Steps are timed once in place of many times; how often that was asked for is returned."""
    calls, time_trials = [], cap_plan.time_trials

    def once(trials, rounds, steps):
        calls.append(len(trials) - 1)
        return time_trials(trials, 1, 1)

    monkeypatch.setattr(cap_plan, 'time_trials', once)
    return calls


def make(cfg, folder, configs, caps=('80%',)):
    plan = CapPlan(cfg, folder, configs)
    plan.make(WAYS, caps, lambda: None)
    return plan


def test_another_clone_finds_the_same_steps_and_keeps_their_times(cfg, tmp_path, timed):
    make(cfg, tmp_path, tmp_path / 'one')
    written = (tmp_path / PLAN).read_text()
    make(cfg, tmp_path, tmp_path / 'other')
    assert timed == [2]
    assert (tmp_path / PLAN).read_text() == written
    files = sorted(path.name for path in (tmp_path / 'one').iterdir())
    assert files == sorted(path.name for path in (tmp_path / 'other').iterdir())


def test_a_step_that_is_not_the_same_is_timed_anew(cfg, tmp_path, timed):
    make(cfg, tmp_path, tmp_path / 'one')
    content = json.loads((tmp_path / PLAN).read_text())
    content['steps'][1]['peak'] += 1
    (tmp_path / PLAN).write_text(json.dumps(content))
    plan = make(cfg, tmp_path, tmp_path / 'other')
    assert timed == [2, 1]
    assert [entry.way for entry in plan.entries] == ['e2e', 'greedy:3']
    assert all(entry.time_ratio for entry in plan.entries)
