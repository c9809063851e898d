"""A checkpoint belongs to a partition, and says so."""

from copy import deepcopy

import pytest
import torch
from mmengine.runner import load_checkpoint

from tests.models import build, model_config


def saved(path, local, seed=0):
    model = build(model_config(local=local), seed)
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return model


def test_the_same_partition_loads(tmp_path):
    trained = saved(tmp_path / 'a.pth', dict(boundaries=['layer2.1']))
    model = build(model_config(local=dict(boundaries=['layer2.1'])), seed=1)
    load_checkpoint(model, str(tmp_path / 'a.pth'), map_location='cpu', strict=True)
    expected = trained.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ('theirs', 'ours'),
    [
        (['layer2.1'], ['layer3.0']),
        (['layer2.1'], ['layer2.1', 'layer3.0']),
        (['layer2.1'], []),
        ([], ['layer2.1']),
    ],
)
def test_another_partition_is_an_error_that_names_both(tmp_path, theirs, ours):
    saved(tmp_path / 'a.pth', dict(boundaries=theirs))
    model = build(model_config(local=dict(boundaries=ours)))
    message = rf'partition .*\(K={len(theirs) + 1}.*the model of .*\(K={len(ours) + 1}.*warm_start'
    with pytest.raises(ValueError, match=message):
        load_checkpoint(model, str(tmp_path / 'a.pth'), map_location='cpu')


@pytest.mark.parametrize('theirs', [['layer3.0'], []])
def test_a_warm_start_takes_everything_but_the_local_heads(tmp_path, theirs):
    trained = saved(tmp_path / 'a.pth', dict(boundaries=theirs))
    model = build(model_config(local=dict(boundaries=['layer2.1'], warm_start=True)), seed=1)
    fresh = deepcopy(model.state_dict())
    load_checkpoint(model, str(tmp_path / 'a.pth'), map_location='cpu')
    expected = trained.state_dict()
    for name, value in model.state_dict().items():
        source = fresh if name.startswith('local_heads.') else expected
        assert torch.equal(value, source[name]), name
