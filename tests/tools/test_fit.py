"""``tools/fit.py`` as a user calls it."""

import json
from pathlib import Path

import pytest

from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.explain import FailedStepError
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import dry_config_step, step_shape
from mmseg_infopro.measure.sizes import parse_bytes
from mmseg_infopro.report import fitting, step_sizes
from mmseg_infopro.report.baselines import E2E, end_to_end_forms
from mmseg_infopro.report.fit_row import Cap
from mmseg_infopro.report.fitting import Fitter

ROOT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/camvid/infopro_deeplabv3_r18.py'
OTHER = 'configs/streets/e2e_deeplabv3_r18.py'
SMALL = ('--crop', 64, 96, '--margin', 0, '--num-modules', 2, '--cfg-options')
SMALL += ('model.backbone.base_channels=8', 'model.decode_head.in_channels=64')
SMALL += ('model.decode_head.channels=16', 'model.auxiliary_head.in_channels=32')
SMALL += ('model.auxiliary_head.channels=16',)


def test_it_says_what_fits_and_writes_a_config_that_does(run_at_root, tmp_path):
    figures, out = tmp_path / 'rows.json', tmp_path / 'fitting.py'
    cap = '11.6MB'
    result = run_at_root('fit', CONFIG, '--cap', cap, '--json', figures, '-o', out, *SMALL)
    assert result.status == 0, result.err
    rows = {row['name']: row for row in json.loads(figures.read_text())}
    assert list(rows) == ['e2e', 'with_cp', 'infopro/paper:2 auto']
    (chosen,) = (row for row in rows.values() if row['recommended'])
    assert f'Use {chosen["name"]}: ' in result.out
    assert f'python tools/train.py {out}' in result.out
    peak = dry_config_step(read_config(str(out), None)).peak.total
    assert peak == chosen['peak'] <= parse_bytes(cap) < rows['e2e']['peak']
    for row in rows.values():
        assert row['fits'] == (row['peak'] <= parse_bytes(cap))
        # What fits fits now, or more.
        assert row['fits'] == (row['largest_batch'] >= 4)
    assert f', and a cap of {cap}\n' in out.read_text()
    # The largest batch of the config that was written, by dry steps of its own.
    cfg = read_config(str(out), None)
    hook = cfg.custom_hooks[-1]
    assert (hook.type, hook.memory_cap) == ('MemoryHook', parse_bytes(cap))
    assert hook.predicted_bytes == peak
    cfg.train_dataloader.batch_size = chosen['largest_batch'] + 1
    assert dry_config_step(cfg).peak.total > parse_bytes(cap)


def test_a_cap_that_nothing_fits(run_at_root, tmp_path):
    out = tmp_path / 'fitting.py'
    result = run_at_root('fit', CONFIG, '--cap', '3MB', '-o', out, *SMALL)
    assert 'which does not fit' in result.out
    assert 'of parameters' in result.out
    assert result.status == 2
    assert 'was not written: nothing fits 3MB' in result.err
    assert 'Nothing fits 2.86 MiB: the smallest peak found is ' in result.out
    assert not out.exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--cap', 'much'], "a size must be a text as '12GiB' or '2.7GB', got 'much'"),
        (['--cap', 11], "11 what? say 11GiB, or a share of E2E's peak as 40%"),
        (['--cap', '9GiB', '--margin', 1], '1 what? say 1GiB'),
        (['--cap', '0%'], "a share of E2E's peak must be above 0%, got 0%"),
        (['--cap', '1GiB'], '--cap must be above --margin=1.25GiB, got 1GiB'),
        (['--cap', '9GiB', '--num-modules', 40], 'num_modules must be between 1 and 9'),
        (['--cap', '9GiB', '-o', OTHER], 'already exists: name another file, or say --force'),
    ],
)
def test_a_users_error_is_a_sentence(run_at_root, arguments, message):
    result = run_at_root('fit', CONFIG, *arguments)
    assert result.status == 2
    assert message in result.err
    assert 'Traceback' not in result.err


@pytest.mark.parametrize('cap', ['60MB', '20MB'])
def test_a_network_that_takes_its_own_crop_only(monkeypatch, cap):
    def step(cfg):
        if (crop := step_shape(cfg).crop) != (64, 96):
            raise FailedStepError(f'no position embedding for {crop}')
        return dry_config_step(cfg)

    monkeypatch.setattr(fitting, 'dry_config_step', step)
    cfg = read_config(str(ROOT / CONFIG), None)
    override_step(cfg, 4, (64, 96))
    fitter = Fitter(cfg, 'none', Cap(parse_bytes(cap), 0))
    row = fitter.end_to_end(E2E, end_to_end_forms(cfg)[E2E])
    assert row.fixed_crop
    assert row.crop == ((64, 96) if row.fits else None)
    assert row.fits == (row.batch >= 4) == (cap == '60MB')


def test_a_cap_far_beyond_what_a_network_needs_is_not_used_up(monkeypatch):
    monkeypatch.setattr(step_sizes, 'MOST_IMAGES', 6)
    monkeypatch.setattr(step_sizes, 'MOST_PIXELS_HIGH', 96)
    cfg = read_config(str(ROOT / CONFIG), None)
    override_step(cfg, 4, (64, 96))
    fitter = Fitter(cfg, 'auto', Cap(parse_bytes('1TB'), 0))
    rows = [fitter.end_to_end(E2E, end_to_end_forms(cfg)[E2E]), fitter.local(2)]
    assert [(row.batch, row.crop) for row in rows] == 2 * [(6, (96, 128))]


def test_a_method_whose_modules_train_in_turn(run_at_root):
    result = run_at_root('fit', CONFIG, '--cap', '20MB', '--method', 'sequential', *SMALL)
    assert result.status == 0, result.err
    assert 'sequential:2' in result.out
