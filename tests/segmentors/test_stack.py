"""Local modules together with the rest of mmengine's training stack.

K=1 is compared with plain mmseg, K=2 with autograd over the sum of the losses at detached borders
and with optimizer steps that are written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.hooks import EMAHook
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmseg.models.segmentors import SegTTAModel
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import BN, batch, build, gradients, model_config

BOUNDARY = 'layer2.1'
TWO = dict(
    boundaries=[BOUNDARY],
    heads=[dict(type='FCNHead', channels=8, num_convs=1, concat_input=False, dropout_ratio=0)],
)
LR, MOMENTUM, STEPS = 0.05, 0.9, 4
SGD = dict(type='SGD', lr=LR, momentum=MOMENTUM, weight_decay=1e-3)
AMP = dict(type=CpuAmpOptimWrapper.__name__)
CUSTOM_KEYS = {
    'backbone.stem': dict(lr_mult=0.1),
    'backbone.layer1': dict(lr_mult=0.2, decay_mult=0.5),
    'local_heads': dict(lr_mult=2.0),
    'conv_seg': dict(lr_mult=10.0, decay_mult=0.0),
}


def model_of(local: Any, norm: dict[str, Any] = BN, **backbone: Any) -> Any:
    cfg = model_config(local=local, norm=norm)
    cfg['backbone'].update(backbone)
    return build(cfg)


def train(model: Any, **wrapper: Any) -> list[dict[str, Tensor]]:
    """Train as a Runner does; return what is logged."""
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(SGD), **wrapper))
    return [model.train_step(batch(size=32, seed=step), optim_wrapper) for step in range(STEPS)]


def loss_by_hand(model: Any, data: dict[str, Any]) -> Tensor:
    """Sum the losses of two modules in one graph that is cut at the border."""
    data = model.data_preprocessor(deepcopy(data), True)
    backbone, samples = model.backbone, data['data_samples']
    border = backbone.layer2(backbone.layer1(backbone.maxpool(backbone.stem(data['inputs']))))
    third = backbone.layer3(border.detach())
    features = [None, None, third, backbone.layer4(third)]
    (local_head,) = model.local_heads['layer2-1']
    losses = [
        local_head.loss([border], samples, {}),
        model.decode_head.loss(features, samples, {}),
        model.auxiliary_head.loss(features, samples, {}),
    ]
    return torch.stack([head_losses['loss_ce'] for head_losses in losses]).sum()


def train_by_hand(
    model: Any,
    groups: Any = None,
    max_norm: float | None = None,
    accumulate: int = 1,
    autocast: bool = False,
) -> None:
    """Train with torch alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(groups or parameters, LR, MOMENTUM, weight_decay=1e-3)
    for step in range(STEPS):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss = loss_by_hand(model, batch(size=32, seed=step))
        (loss / accumulate).backward()
        if (step + 1) % accumulate:
            continue
        if max_norm is not None:
            norm = torch.stack([p.grad.square().sum() for p in parameters]).sum().sqrt()
            for parameter in parameters:
                parameter.grad.mul_(min(1.0, max_norm / norm.item()))
        optimizer.step()
        optimizer.zero_grad()


def groups_by_hand(model: Any) -> list[dict[str, Any]]:
    """What the custom keys say; the longest key that occurs in a name counts."""

    def settings(name: str) -> tuple[float, float]:
        if 'backbone.stem' in name:
            return 0.1 * LR, 1e-3
        if 'backbone.layer1' in name:
            return 0.2 * LR, 0.5e-3
        if 'local_heads' in name:
            return 2.0 * LR, 1e-3
        return (10.0 * LR, 0.0) if 'conv_seg' in name else (LR, 1e-3)

    return [
        dict(params=[parameter], lr=settings(name)[0], weight_decay=settings(name)[1])
        for name, parameter in model.named_parameters()
    ]


def assert_close(model: Any, twin: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    actual, expected = model.state_dict(), twin.state_dict()
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=rtol, atol=atol, msg=name)


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


def train_with_ema(model: Any, momentum: float) -> Any:
    """Return the averaged model of mmengine's hook."""
    hook = EMAHook(momentum=momentum)
    runner = SimpleNamespace(model=model, iter=0)
    hook.before_run(runner)
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(SGD)))
    for runner.iter in range(STEPS):
        model.train_step(batch(size=32, seed=runner.iter), optim_wrapper)
        hook.after_train_iter(runner, runner.iter)
    return hook.ema_model.module


def test_the_average_of_one_module_is_plain_mmsegs_bit_for_bit() -> None:
    ours, plain = (train_with_ema(model_of(local), 0.3) for local in (dict(num_modules=1), None))
    assert_close(ours, plain, rtol=0, atol=0)


def test_the_average_is_over_the_weights_of_all_modules() -> None:
    model = model_of(TWO)
    twin, average = deepcopy(model), deepcopy(model)
    averaged = train_with_ema(model, 0.3)
    optimizer = torch.optim.SGD(twin.parameters(), LR, MOMENTUM, weight_decay=1e-3)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_by_hand(twin, batch(size=32, seed=step)).backward()
        optimizer.step()
        weight = 0.3 if step else 1.0  # mmengine starts the average after the first step
        with torch.no_grad():
            for mean, parameter in zip(average.parameters(), twin.parameters(), strict=True):
                mean.mul_(1 - weight).add_(weight * parameter)
    for buffer, source in zip(average.buffers(), twin.buffers(), strict=True):
        buffer.copy_(source)
    assert_close(averaged, average)


class Batches(Dataset):
    """The same images in every run."""

    def __len__(self) -> int:
        return 2 * STEPS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: value[0] for key, value in batch(32, 1, seed=index).items()}


def ema_runner(work_dir: Path, **resume: Any) -> Runner:
    return Runner(
        model=model_of(TWO),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(Batches(), batch_size=2, collate_fn=pseudo_collate),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=STEPS),
        optim_wrapper=dict(optimizer=dict(SGD)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
        custom_hooks=[dict(type='EMAHook', momentum=0.3)],
        experiment_name=work_dir.name,
        log_level='ERROR',
        default_scope='mmseg',
        **resume,
    )


@pytest.fixture(scope='module')
def averaged_runs(tmp_path_factory: pytest.TempPathFactory) -> list[Runner]:
    """A run that never stopped, and one that resumed half way."""
    folder = tmp_path_factory.mktemp('ema')
    middle = dict(load_from=str(folder / 'straight/iter_2.pth'), resume=True)
    runners = []
    with DefaultScope.overwrite_default_scope('mmseg'):
        for name, resume in (('straight', {}), ('resumed', middle)):
            runners.append(ema_runner(folder / name, **resume))
            runners[-1].train()
    return runners


def averaged_model(runner: Runner) -> Any:
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    return hook.ema_model.module.eval()


def test_an_average_resumes_bit_for_bit(averaged_runs: list[Runner]) -> None:
    straight, resumed = averaged_runs
    assert_close(averaged_model(resumed), averaged_model(straight), rtol=0, atol=0)
    assert_close(resumed.model, straight.model, rtol=0, atol=0)


def test_the_averaged_model_predicts_with_its_own_weights(averaged_runs: list[Runner]) -> None:
    image = torch.randn(1, 3, 32, 32)
    for runner in averaged_runs:
        saved = torch.load(Path(runner.work_dir, 'iter_4.pth'), weights_only=False)
        plain = model_of(None).eval()
        plain.load_state_dict(saved['state_dict'], strict=False)
        trained = deepcopy(runner.model).eval()
        assert torch.equal(averaged_model(runner)(image), plain(image))
        assert not torch.equal(trained(image), plain(image))


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
