"""What a pipeline is planned for: time and the fullest process; and what the commands say."""

import json

import pytest
from mmengine.device import get_device

from mmseg_infopro.config import objective
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.objective import objective_of, rounded
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.config.step import dry_config_step, dry_config_steps
from mmseg_infopro.local.settings import read_local_settings
from mmseg_infopro.planning.borders import Borders
from mmseg_infopro.planning.device import Device
from mmseg_infopro.planning.objective import ShortestStage, SmallestPeak

PIPELINE = dict(placement='pipeline', in_flight=3)


@pytest.fixture
def cfg(monkeypatch, config):
    """Two planned modules, on a device that nobody has to time."""
    monkeypatch.setattr(objective, 'device_at_hand', lambda amp: Device('slow', 8e9, 1e9))
    cfg = read_config(str(config))
    cfg.model.local.pop('boundaries')
    cfg.model.local.update(num_modules=2, **PIPELINE)
    return cfg


def test_a_pipeline_is_planned_for_the_time_of_its_slowest_process(cfg):
    judged_by = objective_of(cfg, read_local_settings(cfg.model.local), cap=10**9)
    assert isinstance(judged_by, ShortestStage)
    borders = Borders(3, ahead=int(get_device() == 'cpu'))
    assert (judged_by.borders, judged_by.cap) == (borders, 10**9)
    cfg.model.local.placement = 'replicate'
    assert isinstance(objective_of(cfg, read_local_settings(cfg.model.local)), SmallestPeak)


def test_partitions_are_the_same_when_speeds_are_measured_again():
    first, again = (rounded(Device('', flops, 1e9)) for flops in (7.1e9, 9.3e9))
    assert first == again
    assert first.flops_per_second / first.bytes_per_second == 8


def test_there_is_a_dry_step_of_each_process(cfg):
    resolved = resolve(cfg)
    assert len(resolved.model.local.boundaries) == 1
    steps = dry_config_steps(resolved)
    assert [step.kind for step in steps] == ['process 0', 'process 1']
    assert dry_config_step(resolved) == max(steps, key=lambda step: step.peak.total)


def test_a_cap_is_that_of_each_process(cfg):
    smallest = dry_config_step(resolve(cfg)).peak.total
    cfg.model.local.pop('num_modules')
    cfg.model.local.update(memory_cap=smallest, memory_margin=0)
    resolved = resolve(cfg)
    assert dry_config_step(resolved).peak.total <= smallest
    assert len(resolved.model.local.boundaries) == 1  # one module is no pipeline, two suffice
    cfg.model.local.memory_cap = smallest // 20
    with pytest.raises(ValueError, match=r'fits no partition.*in process \d, which trains local'):
        resolve(cfg)


def test_each_process_recomputes_what_its_own_module_needs(cfg):
    plain = resolve(cfg)
    peaks = [step.peak.total for step in dry_config_steps(plain)]
    fullest = peaks.index(max(peaks))
    cap = int(0.9 * max(peaks))
    assert min(peaks) < cap  # one of both processes needs no recomputing
    cfg.model.local.pop('num_modules')
    cfg.model.local.update(memory_cap=cap, memory_margin=0, recompute='auto')
    resolved = resolve(cfg)
    local = resolved.model.local
    assert len(local.boundaries) == 1
    assert all(step.peak.total <= cap for step in dry_config_steps(resolved))
    names = [unit.name for unit in build_end_to_end(resolved).backbone.units()]
    cut = names.index(local.boundaries[0])
    recomputes = {names.index(g['end']) > cut for g in local.recompute if g['saved'] != 'all'}
    assert recomputes == {bool(fullest)}


def test_auto_without_a_cap_brings_the_fullest_process_down(cfg):
    plain = dry_config_step(resolve(cfg)).peak.total
    cfg.model.local.recompute = 'auto'
    assert dry_config_step(resolve(cfg)).peak.total < plain


IN_A_PIPELINE = '--cfg-options', 'model.local.placement=pipeline'


def test_memory_has_a_row_for_each_process(cfg, run, config, tmp_path):
    names = '--num-modules', 2, '--json', 'peaks.json', '--brief'
    outcome = run('memory', config, *names, *IN_A_PIPELINE)
    assert outcome.status == 0, outcome.err
    rows = json.loads((tmp_path / 'peaks.json').read_text())
    of_local = [row for row in rows if 'process' in row['name']]
    assert [row['name'].split()[-1] for row in of_local] == ['0', '1']
    fullest = max(of_local, key=lambda row: row['total'])['name'].split()[-1]
    assert 'a process: ' in outcome.out
    assert f'in process {fullest}, which trains local module {fullest}' in outcome.out


def test_fit_says_what_fits_each_process_and_how_to_start_all(cfg, run, config, tmp_path):
    cap = '--cap', '95%', '--margin', '0GiB', '--json', 'fit.json'
    outcome = run('fit', config, *cap, '--num-modules', 2, *IN_A_PIPELINE)
    assert outcome.status == 0, outcome.err
    rows = json.loads((tmp_path / 'fit.json').read_text())
    (chosen,) = [row for row in rows if row['recommended']]
    assert not isinstance(chosen['recompute'], str)  # groups of each process's own
    assert chosen['peak'] <= 0.95 * rows[0]['peak']
    assert 'tools/dist_train.sh tiny_fit.py 2' in outcome.out
