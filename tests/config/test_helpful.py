"""A number of local modules that saves nothing over a smaller one."""

import re

import pytest
from mmengine.logging import MMLogger

from mmseg_infopro import localize
from mmseg_infopro.config import helpful
from mmseg_infopro.config.explain import FailedStepError
from mmseg_infopro.config.helpful import with_helpful_modules
from mmseg_infopro.measure.peaks import PeakBytes
from tests.config.test_localize import plain_config
from tests.models import HEADS

PEAKS = {1: 2000, 2: 1500, 3: 1501, 4: 1499, 5: 1000}


@pytest.fixture
def warnings(monkeypatch):
    """Take the peaks above for those of dry steps."""
    monkeypatch.setattr(
        helpful, 'resolve', lambda cfg: localize(cfg, boundaries=['unit'] * (asked_of(cfg) - 1))
    )
    monkeypatch.setattr(helpful, 'config_peak', peak)
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


def asked_of(cfg):
    local = cfg.model.local
    return local.get('num_modules') or len(local.boundaries) + 1


def peak(cfg):
    return PeakBytes(PEAKS[asked_of(cfg)], 0, 0, 0)


@pytest.mark.parametrize(('asked', 'expected'), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 5)])
def test_it_is_lowered_to_the_fewest_that_need_as_little(asked, expected, warnings):
    cfg = with_helpful_modules(localize(plain_config(), asked))
    assert cfg.model.local.num_modules == expected
    assert bool(warnings) == (asked != expected)
    if warnings:
        assert f'{asked} local modules need {PEAKS[asked] / 1024:.2f} KiB' in warnings[0]
        assert 'and 2 local modules 1.46 KiB: so many save nothing' in warnings[0]
        assert f'2 local modules it is, and --force would keep {asked}' in warnings[0]


@pytest.mark.parametrize(
    ('partition', 'force', 'words'),
    [
        (dict(num_modules=4), True, '--force'),
        (dict(boundaries=['a', 'b', 'c']), False, 'the boundaries'),
    ],
)
def test_what_is_meant_is_kept_with_the_warning(partition, force, words, warnings):
    cfg = localize(plain_config(), **partition)
    assert with_helpful_modules(cfg, force) is cfg
    assert f'so many save nothing; they are kept, as {words}' in warnings[0]


def test_where_none_helps_it_says_so(warnings, monkeypatch):
    monkeypatch.setitem(PEAKS, 1, 1500)
    cfg = with_helpful_modules(localize(plain_config(), 2))
    assert cfg.model.local.num_modules == 1
    assert 'end-to-end training it is' in warnings[0]


@pytest.mark.parametrize(
    'local', [dict(offload=[2]), dict(heads=[*HEADS, dict(type='LinearHead', at=[1])])]
)
def test_settings_that_name_modules_keep_them_and_the_log_says_so(local, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'info', lines.append)
    cfg = localize(plain_config(), 3, heads=HEADS)
    cfg.model.local.update(local)
    assert with_helpful_modules(cfg).model.local.num_modules == 3
    (line,) = (line for line in lines if 'cannot be tried' in line)
    assert line.startswith('2 local modules in place of 3 cannot be tried: local.')
    assert re.search(r'names? module [12]', line)


def test_a_step_of_fewer_modules_that_fails_is_an_error(warnings, monkeypatch):
    def fail(cfg):
        if asked_of(cfg) == 2:
            raise FailedStepError('no such step')
        return peak(cfg)

    monkeypatch.setattr(helpful, 'config_peak', fail)
    with pytest.raises(FailedStepError, match='no such step'):
        with_helpful_modules(localize(plain_config(), 3))
