"""A model whose boundaries are named, and so not planned, is tried before it trains."""

import pytest
from mmengine.config import Config

from mmseg_infopro.config.explain import FailedStepError
from mmseg_infopro.config.resolve import resolve
from tests.models import model_config


def config(**decode_head):
    cfg = model_config(local=dict(boundaries=['layer2.0']))
    cfg['decode_head'].update(decode_head)
    wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    return Config(dict(model=cfg, train_dataloader=dict(batch_size=2), optim_wrapper=wrapper))


@pytest.mark.parametrize(
    ('decode_head', 'sentence'),
    [
        (dict(in_channels=99), '2 images of 64x64 fails in model.decode_head: .*99 channels'),
        (dict(in_index=7), '2 images of 64x64 fails in model.decode_head: IndexError'),
        (dict(loss_decode=dict(type='OhemCrossEntropy')), "in model.decode_head: .*'weight'"),
    ],
)
def test_parts_that_do_not_fit_are_told_before_training(decode_head, sentence):
    with pytest.raises(FailedStepError, match=sentence):
        resolve(config(**decode_head))


def test_what_fits_passes():
    assert resolve(config()).model.local.boundaries == ['layer2.0']
