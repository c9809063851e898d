"""Local modules together with the rest of mmengine's training stack.

K=1 is compared with plain mmseg, K=2 with autograd over the sum of the losses at detached borders
and with optimizer steps that are written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmseg.models.segmentors import SegTTAModel

from tests.local.by_hand import (
    AMP,
    BOUNDARY,
    CUSTOM_KEYS,
    SGD,
    STEPS,
    TWO,
    assert_close,
    groups_by_hand,
    model_of,
    train,
    train_by_hand,
)
from tests.models import batch, build, gradients, model_config


@pytest.mark.parametrize(
    ('wrapper', 'backbone'),
    [
        pytest.param(AMP, {}, id='bfloat16'),
        pytest.param(dict(clip_grad=dict(max_norm=0.05)), {}, id='clip_grad'),
        pytest.param(dict(accumulative_counts=2), {}, id='accumulation'),
        pytest.param(dict(paramwise_cfg=dict(custom_keys=CUSTOM_KEYS)), {}, id='paramwise_cfg'),
        pytest.param({}, dict(frozen_stages=2), id='frozen_stages'),
        pytest.param({}, dict(norm_eval=True), id='norm_eval'),
    ],
)
def test_one_module_is_plain_mmseg_bit_for_bit(wrapper: Any, backbone: Any) -> None:
    ours, plain = model_of(dict(num_modules=1), **backbone), model_of(None, **backbone)
    assert train(ours, **deepcopy(wrapper)) == train(plain, **deepcopy(wrapper))
    assert_close(ours, plain, rtol=0, atol=0)


def test_clipping_takes_the_norm_over_all_modules() -> None:
    model = model_of(TWO)
    twin = deepcopy(model)
    train(model, clip_grad=dict(max_norm=0.05))
    train_by_hand(twin, max_norm=0.05)
    assert_close(model, twin)


def test_accumulated_gradients_are_divided_by_the_number_of_steps() -> None:
    model = model_of(TWO)
    twin = deepcopy(model)
    train(model, accumulative_counts=2)
    train_by_hand(twin, accumulate=2)
    assert_close(model, twin)


def test_bfloat16_is_autograd_under_autocast() -> None:
    model = model_of(TWO)
    twin = deepcopy(model)
    train(model, **AMP)
    train_by_hand(twin, autocast=True)
    assert_close(model, twin)


def test_parameters_keep_the_names_that_custom_keys_are_written_for() -> None:
    model = model_of(TWO)
    twin = deepcopy(model)
    train(model, paramwise_cfg=dict(custom_keys=CUSTOM_KEYS))
    train_by_hand(twin, groups=groups_by_hand(twin))
    assert_close(model, twin)


def test_fixed_batch_statistics_stay_and_are_used() -> None:
    model = model_of(TWO, norm_eval=True)
    twin = deepcopy(model)
    before = deepcopy(model.backbone.layer3[0].bn1.running_mean)
    train(model)
    train_by_hand(twin)
    assert torch.equal(model.backbone.layer3[0].bn1.running_mean, before)
    assert_close(model, twin)


def test_a_frozen_module_runs_without_graph_and_local_heads() -> None:
    model = model_of(TWO, frozen_stages=2)
    assert not model.local_heads
    before = deepcopy(model.backbone.layer2.state_dict())
    graphs: list[Any] = []
    model.backbone.layer2[1].register_forward_hook(lambda *args: graphs.append(args[2].grad_fn))
    (log, *_) = train(model)
    assert graphs == [None] * STEPS
    assert not [name for name in log if name.startswith('local_0')]
    after = model.backbone.layer2.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_channels_last_changes_nothing_but_rounding() -> None:
    model = model_of(TWO)
    twin = deepcopy(model).to(memory_format=torch.channels_last)
    train(model)
    train(twin)
    assert twin.backbone.layer3[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert_close(twin, model, rtol=1e-4, atol=1e-5)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_training_with_deterministic_algorithms_repeats_itself(deterministic: None) -> None:
    model = build(model_config(local=dict(boundaries=[BOUNDARY])))
    twin = deepcopy(model)
    train(model)
    train(twin)
    assert_close(twin, model, rtol=0, atol=0)


def test_layers_that_are_replaced_after_construction_are_the_ones_that_train() -> None:
    replaced = revert_sync_batchnorm(model_of(TWO, norm=dict(type='SyncBN', requires_grad=True)))
    model = model_of(TWO)
    replaced.load_state_dict(model.state_dict())
    train(replaced)
    train(model)
    assert_close(replaced, model, rtol=0, atol=0)


def test_a_copy_trains_itself() -> None:
    model = model_of(TWO)
    copy = deepcopy(model)
    copy.train_step(
        batch(size=32), build_optim_wrapper(copy, dict(optimizer=SGD, accumulative_counts=2))
    )
    assert gradients(copy).keys() == {name for name, _ in copy.named_parameters()}
    assert not gradients(model)


def test_test_time_augmentation_is_plain_mmsegs() -> None:
    ours = model_of(TWO)
    plain = model_of(None)
    plain.load_state_dict(ours.state_dict(), strict=False)
    predictions = []
    for model in (ours, plain):
        model.test_cfg = ConfigDict(mode='whole')
        data = batch(size=32)
        image, sample = data['inputs'][0], data['data_samples'][0]
        sample.set_metainfo(dict(img_path='a.png', flip=False))
        flipped = deepcopy(sample)
        flipped.set_metainfo(dict(flip=True, flip_direction='horizontal'))
        views = dict(inputs=[[image], [image.flip(-1)]], data_samples=[[sample], [flipped]])
        with torch.no_grad():
            (prediction,) = SegTTAModel(model).eval().test_step(views)
        predictions.append(prediction.pred_sem_seg.data)
    assert torch.equal(*predictions)
