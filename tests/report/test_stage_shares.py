"""The time of a pipeline's processes in a report: predicted, measured, drawn."""

import re
from argparse import Namespace

import pytest

from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_steps
from mmseg_infopro.planning.device import Device
from mmseg_infopro.report import stage_shares
from mmseg_infopro.report.run_report import is_pipeline, times_of_processes
from mmseg_infopro.report.stage_shares import predicted_shares, share_rows, time_figure
from tests.tools.conftest import write_config

TIMES = dict(
    iterations=[10, 30],
    processes=[
        dict(compute=3.0, send=0.0, wait=0.0, load=1.0),
        dict(compute=1.0, send=0.5, wait=2.0, load=0.5),
    ],
)


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    """Two modules on a device whose memory is infinitely fast."""
    device = Device('', 1.0, float('inf'))
    monkeypatch.setattr(stage_shares, 'device_at_hand', lambda autocast: device)
    cfg = read_config(str(write_config(tmp_path, tmp_path)))
    cfg.model.local.placement = 'pipeline'
    return resolve(cfg)


def test_predicted_shares_are_those_of_the_work(cfg):
    flops = [step.flops for step in dry_config_steps(cfg)]
    assert predicted_shares(cfg) == pytest.approx([own / sum(flops) for own in flops])


def test_a_row_for_each_process():
    header, first, second = share_rows([0.6, 0.4], TIMES)
    assert len(header) == 7
    assert first == ['0', '60.0%', '75.0%', '150.0 ms', '0.0 ms', '0.0 ms', '50.0 ms']
    assert second == ['1', '40.0%', '25.0%', '50.0 ms', '25.0 ms', '100.0 ms', '25.0 ms']
    assert share_rows([0.6, 0.4], None)[1:] == [['0', '60.0%'], ['1', '40.0%']]


def test_bars_are_as_long_as_what_was_measured():
    (axes,) = time_figure([0.6, 0.4], TIMES).axes
    ends = [bar.get_x() + bar.get_width() for bar in axes.patches]
    assert ends == pytest.approx([0.75, 0.25, 0.75, 0.375, 0.75, 0.875, 1.0, 1.0])
    at = [line.get_xdata()[0] for line in axes.lines]
    assert at == pytest.approx([0.6, 0.4])  # of 4 s that both compute, the longest took 4


def test_a_report_says_what_was_measured_and_what_was_not(cfg):
    assert is_pipeline(cfg)
    text = times_of_processes(Namespace(cfg=cfg, stage_times=TIMES))
    assert 'Measured from iteration 10 to 30.' in text
    assert re.search('<td>75.0%</td><td>150.0 ms</td>', text)
    text = times_of_processes(Namespace(cfg=cfg, stage_times=None))
    assert 'Nothing was measured' in text
    assert text.count('<td>') == 4
    cfg.model.local.placement = 'replicate'
    assert not is_pipeline(cfg)
