"""Rows of several processes: what is relative to what, from a race that was made up."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from rich.console import Console

from mmseg_infopro.report import process_rows as rows_of_processes
from mmseg_infopro.report.pipeline.measuring import Comparison, WayCosts
from mmseg_infopro.report.pipeline.race import RaceRow
from mmseg_infopro.report.process_rows import process_rows, processes_lines, processes_table

CFG = Config(
    dict(
        model=dict(
            data_preprocessor=dict(size=(64, 64)), local=dict(boundaries=['a'], in_flight=3)
        ),
        train_dataloader=dict(batch_size=6),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
    )
)
COSTS = {
    'pipeline': WayCosts((2 << 20, 3 << 20), 1.1),
    'one process': WayCosts((4 << 20,), 1.1),
    'e2e, one process': WayCosts((8 << 20,), 1.0),
    'e2e, data parallel': WayCosts((9 << 20,) * 2, 1.0),
}
SPEEDS = {
    'pipeline': (16.0, 18.0, 20.0),
    'side by side': (19.0,) * 3,
    'one process': (9.0, 10.0, 11.0),
    'e2e, one process': (11.0, 12.0, 13.0),
    'e2e, data parallel': (20.0, 21.0, 22.0),
}
MACHINE = dict(device='cpu', name='a CPU', threads=1, torch='2')


@pytest.fixture
def asked(monkeypatch):
    """What was asked for; three rounds were taken if any."""
    asked = []

    def compare(cfg, num_modules, in_flight, num_rounds, num_steps):
        asked.append((num_modules, in_flight, num_rounds, num_steps))
        rows = [RaceRow(way, v[1], v, (5 << 20, None)) for way, v in SPEEDS.items()]
        return Comparison(cfg, COSTS, MACHINE, tuple(rows) if num_rounds else ())

    monkeypatch.setattr(rows_of_processes, 'compare_ways', compare)
    return asked


def shown(processes) -> str:
    console = Console(width=80, record=True)
    console.print(processes_table(processes))
    return console.export_text()


def test_speeds_are_relative_to_end_to_end_training_on_one_process(asked):
    found = process_rows(CFG, 2, 3, 8, timed=True)
    assert asked == [(2, 3, 3, 8)]
    ratios = {row['name']: row['ratio'] for row in found['rows']}
    assert ratios == {
        'E2E, 1 process': 1.0,
        'E2E, 2 processes': 21 / 12,
        '2 modules, 1 process': 10 / 12,
        '2 modules, 2 processes': 18 / 12,
    }
    text = shown(found)
    (line,) = [line for line in text.splitlines() if '2 modules, 2 processes' in line]
    assert ' '.join(line.split()).endswith('2, 3 110.0% 18.00 1.50 11.1% 5')
    assert 'one thread for each process' in processes_lines(found)[0]
    assert 'a batch of 6 images on each' in processes_lines(found)[0]


def test_without_times_there_are_peaks_and_flops(asked):
    found = process_rows(CFG, 2, 3, 8, timed=False)
    assert asked == [(2, 3, 0, 8)]
    assert all(row['images_per_second'] is row['ratio'] is None for row in found['rows'])
    assert 'images' not in shown(found)
    assert '2, 3' in shown(found)


def test_float16_is_not_timed_where_one_gpu_is_too_few_for_the_processes(asked, monkeypatch):
    monkeypatch.setattr('mmseg_infopro.report.timing.device_at_hand', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    half = deepcopy(CFG)
    half.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16')
    found = process_rows(half, 2, 3, 8, timed=True)
    assert processes_lines(found)[-1] == '2 processes: float16 is not timed on a CPU'
    process_rows(CFG, 2, 3, 8, timed=True)
    assert asked == [(2, 3, 0, 8), (2, 3, 3, 8)]
