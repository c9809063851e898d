"""Each lever as a row of a benchmark, or why it is none here."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from mmengine.config import Config

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.levers import LEVERS
from mmseg_infopro.config.recipes import RECIPES
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.local import eight_bit
from mmseg_infopro.measure.peaks import DryStep, PeakBytes
from mmseg_infopro.report import lever_rows
from mmseg_infopro.report.baselines import E2E
from mmseg_infopro.report.lever_rows import EAGER, OTHERS, SLOW, lever_trials
from mmseg_infopro.report.rows import benchmark_rows
from mmseg_infopro.report.tables import Report, remarks
from mmseg_infopro.report.timing import why_not_timed
from mmseg_infopro.report.trial import Trial
from tests.report.test_timing import tiny


@pytest.fixture(autouse=True)
def bare_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a GPU nor packages for 8 bits."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(eight_bit, 'find_spec', lambda package: None)


@cache
def trials() -> dict[str, Trial]:
    return {trial.way.word: trial for trial in lever_trials(config(), 2, 'float32')}


def config(**wrapper: object) -> Config:
    cfg = tiny()
    cfg.optim_wrapper.optimizer.update(momentum=0.9, weight_decay=0.1)
    cfg.optim_wrapper.update(wrapper)
    return cfg


def test_there_is_a_row_for_each_and_what_cannot_be_says_why() -> None:
    assert list(trials()) == [
        'local:2 plain',
        *(f'local:2 + {name}' for name in (*LEVERS, *OTHERS)),
        *(f'local:2 {word}' for word in RECIPES if word != 'plain'),
    ]
    reasons = {name: why_not_timed(trial) for name, trial in trials().items()}
    assert {name: reason for name, reason in reasons.items() if reason is not None} == {
        'local:2 + 8-bit optimizer': 'the lever 8-bit-optimizer: SGD8bit needs bitsandbytes: '
        "pip install 'mmseg-infopro[eightbit]'",
        'local:2 + float16': 'float16 is not timed on a CPU',
        'local:2 + compile': SLOW,
    }
    unpredicted = [name for name, trial in trials().items() if trial.no_dry_step]
    assert unpredicted == ['local:2 + 8-bit optimizer', 'local:2 + compile']


def test_a_lever_that_the_config_cannot_have_names_what_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lever_rows, 'ROWS', {'update per module': LEVERS['update per module']})
    monkeypatch.setattr(lever_rows, 'RECIPES', {})
    _, trial = lever_trials(config(accumulative_counts=2), 2, 'float32')
    assert trial.no_dry_step == trial.no_real_step
    assert trial.no_dry_step.startswith('it needs no clipping, no accumulation')


def test_rows_have_the_figures_of_their_lever_alone() -> None:
    names = [
        'local:2 plain',
        'local:2 + cheap recompute',
        'local:2 + 8-bit optimizer',
        'local:2 lean',
    ]
    whole = Trial(E2E, 'float32', resolve(localize(config(), 1, recipe='plain')))
    chosen = [whole, *(trials()[name] for name in names)]
    steps = [None if trial.no_dry_step else dry_config_step(trial.cfg) for trial in chosen]
    rows = benchmark_rows(chosen, steps, None)
    exact = ['', 'bit for bit', 'bit for bit', 'in 8 bits', 'to rounding']
    assert [row['exact'] for row in rows] == exact
    assert [row['num_modules'] for row in rows] == [1, 2, 2, 2, 2]
    assert rows[3]['predicted'] is None and 'pip install' in rows[3]['not_predicted']
    alone = localize(config(), boundaries=rows[2]['boundaries'], recipe='plain')
    alone.model.local.recompute = 'cheap'
    assert rows[2]['predicted']['total'] == dry_config_step(resolve(alone)).peak.total
    assert rows[4]['predicted']['share'] < rows[1]['predicted']['share']


def test_a_table_says_what_goes_to_the_host_and_what_is_not_predicted() -> None:
    step = DryStep(PeakBytes(4096, 0, 0, 0), (), (), 1)
    moving = replace(step, host_bytes=2**20)
    whole = Trial(E2E, 'float32', trials()['local:2 plain'].cfg)
    chosen = [whole, trials()['local:2 + offload'], trials()['local:2 + compile']]
    rows = benchmark_rows(chosen, [step, moving, None], None)
    lines = remarks(Report('tiny.py', 2, (64, 64), 1, 1, {}, rows))
    assert 'local:2 + offload: 1.00 MiB go to the host and come back' in lines
    assert f'local:2 + compile: {EAGER}' in lines
