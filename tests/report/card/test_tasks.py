"""Rows that run one after the other, call after call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmseg_infopro.report.card import tasks as tasks_module
from mmseg_infopro.report.card.rows import CardRow, Ledger
from mmseg_infopro.report.card.tasks import (
    NEEDS_CUDA,
    BrokenDeviceError,
    Setup,
    Task,
    run_tasks,
    select,
)

MACHINE = dict(name='a card', torch='2.13.0', small=False)


def fail() -> dict:
    raise ValueError('no such\nthing')


def task(name: str, run=lambda: dict(figure=1), **kwargs) -> Task:
    return Task('section', name, run, kwargs.pop('seconds', 1), **kwargs)


def go(tasks: list[Task], folder: Path, device: str = 'cpu', left: float = 9, **kwargs):
    ledger = Ledger(folder / 'report.json', MACHINE)
    order = [(one.section, one.name) for one in tasks]
    setup = Setup(device, False, folder)
    stopped = run_tasks(tasks, ledger, setup, order, lambda: left, **kwargs)
    return stopped, {row['name']: row for row in json.loads(ledger.file.read_text())['rows']}


def test_a_row_that_fails_says_why_and_the_next_ones_run(tmp_path: Path) -> None:
    tasks = [task('bad', fail), task('good'), task('gpu', needs_cuda=True)]
    stopped, rows = go(tasks, tmp_path)
    assert stopped is None
    assert list(rows) == ['bad', 'good', 'gpu']
    assert (rows['bad']['state'], rows['bad']['failure']) == ('failed', 'no such thing')
    assert 'in fail' in rows['bad']['traceback']
    assert rows['good']['figures'] == dict(figure=1)
    assert (rows['gpu']['state'], rows['gpu']['failure']) == ('skipped', NEEDS_CUDA)


def test_a_call_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    ran: list[str] = []
    tasks = [
        task(name, lambda name=name: ran.append(name) or {}, planning=lambda: 5.0) for name in 'abc'
    ]
    ledger = Ledger(tmp_path / 'report.json', MACHINE)
    ledger.put(CardRow('section', 'a'), [])  # the process ended in it
    assert go(tasks, tmp_path, left=5)[0] is tasks[1]
    assert ran == []
    assert go(tasks, tmp_path, left=6)[0] is None
    assert ran == ['b', 'c']
    go(tasks, tmp_path, again=True)
    assert ran == ['b', 'c', 'a']


def test_a_gpu_that_an_error_broke_ends_the_call(tmp_path: Path, monkeypatch) -> None:
    def broken() -> None:
        raise RuntimeError('CUDA error: an illegal memory access was encountered')

    monkeypatch.setattr(tasks_module.torch.cuda, 'synchronize', broken)
    with pytest.raises(BrokenDeviceError, match=r'illegal memory access.*call again'):
        go([task('bad', fail), task('good')], tmp_path, 'cuda')
    ledger = Ledger(tmp_path / 'report.json', MACHINE)
    assert [row.state for row in ledger.rows] == ['failed']


@pytest.mark.parametrize('change', [dict(name='another card'), dict(torch='2.6.0')])
def test_rows_of_two_machines_are_not_mixed(tmp_path: Path, change: dict) -> None:
    file = tmp_path / 'report.json'
    Ledger(file, MACHINE).put(CardRow('section', 'a'), [])
    with pytest.raises(ValueError, match='name another folder with --out'):
        Ledger(file, MACHINE | change)
    file.write_text('[')
    with pytest.raises(ValueError, match='holds no rows of a report'):
        Ledger(file, MACHINE)


def test_rows_are_chosen_by_section_or_name() -> None:
    tasks = [task('one float16'), task('two'), task('plan', asked_only=True)]
    assert select(tasks, []) == tasks[:2]
    assert select(tasks, ['section']) == tasks
    assert select(tasks, ['*/*float16', 'section/plan']) == [tasks[0], tasks[2]]
    with pytest.raises(ValueError, match=r'--only three fits no row: name sections \(section\)'):
        select(tasks, ['three'])
