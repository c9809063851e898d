"""The line at the start of a run."""

import pytest
from mmengine.logging import MMLogger

from mmseg_infopro import localize, resolve
from mmseg_infopro.run import prediction
from mmseg_infopro.run.prediction import log_prediction
from tests.config.test_localize import plain_config


@pytest.fixture
def lines(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'info', found.append)
    return found


def test_it_is_of_local_modules_and_changes_nothing(lines):
    log_prediction(plain_config())
    assert not lines
    cfg = resolve(localize(plain_config(), boundaries=['layer2.1']))
    cfg.model.backbone.norm_cfg.type = 'SyncBN'
    before = cfg.to_dict()
    log_prediction(cfg)
    (line,) = (text for text in lines if text.startswith('predicted peak of a step: '))
    assert line.endswith('; python tools/memory.py CONFIG tries what lowers it')
    assert cfg.to_dict() == before


def test_a_step_that_fails_does_not_stop_the_run(lines, monkeypatch):
    def fail(cfg):
        raise ValueError('no such crop')

    monkeypatch.setattr(prediction, 'dry_config_step', fail)
    log_prediction(localize(plain_config(), boundaries=['layer2.1']))
    assert lines == ['the peak of a step is not predicted: its dry step failed (no such crop)']
