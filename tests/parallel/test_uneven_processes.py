"""Two processes whose batches differ in what matters; nothing hangs (see `run_processes`)."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmseg.evaluation import IoUMetric
from torch.utils.data import DataLoader

from mmseg_infopro.parallel import LocalDataParallel
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import (
    GN,
    HEADS,
    NUM_CLASSES,
    KeepGradients,
    batch,
    build,
    gradients,
    model_config,
)
from tests.parallel.processes import NUM_PROCESSES, run_processes

NUM_IMAGES = 5
CLASSES = [f'class {number}' for number in range(NUM_CLASSES)]


def two_modules() -> Any:
    """With losses that divide by the number of labelled pixels."""
    cfg = model_config(
        local=dict(
            boundaries=['layer2.1'],
            heads=[*HEADS, dict(type='PixelContrastHead', channels=4, num_samples=64)],
        ),
        norm=GN,
    )
    cfg['decode_head']['loss_decode'] = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    cfg['test_cfg'] = ConfigDict(mode='whole')
    return build(cfg)


def images() -> dict[str, Any]:
    return batch(size=32, batch_size=NUM_IMAGES, seed=1)


def part(data: dict[str, Any], rows: slice) -> dict[str, Any]:
    return {key: value[rows] for key, value in data.items()}


def with_labels(data: dict[str, Any], label: int) -> dict[str, Any]:
    data = deepcopy(data)
    for sample in data['data_samples']:
        sample.gt_sem_seg.data.fill_(label)
    return data


def gradients_of_step(model: Any, data: dict[str, Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)  # of the pixels that are contrasted
    model.train_step(data, KeepGradients.wrap(getattr(model, 'module', model)))
    return gradients(getattr(model, 'module', model))


@torch.no_grad()
def evaluate(model: Any, sampler: Any, folder: Path) -> Any:
    """Evaluate one image after the other, as mmengine's loop does."""
    metric: BaseMetric = IoUMetric()
    metric.collect_dir = str(folder)  # IoUMetric ignores the argument
    metric.dataset_meta = dict(classes=CLASSES)
    model.eval()
    for index in sampler:
        data = part(images(), slice(index, index + 1))
        metric.process(data, [sample.to_dict() for sample in model.val_step(data)])
    return {name: float(value) for name, value in metric.evaluate(NUM_IMAGES).items()}


def infinite_on_one(rank: int) -> dict[str, Any]:
    """Train with loss scaling, where one process's module 0 has an infinite gradient."""
    wrapper = LocalDataParallel(two_modules())
    before = deepcopy(wrapper.module.state_dict())
    optimizer = torch.optim.SGD(wrapper.parameters(), lr=0.1)
    optim_wrapper = CpuAmpOptimWrapper(optimizer=optimizer, loss_scale=dict(init_scale=4.0))
    if rank == 1:
        wrapper.module.backbone.stem[0].weight.register_hook(lambda grad: grad / 0)
    wrapper.train_step(part(images(), slice(2)), optim_wrapper)
    after = wrapper.module.state_dict()
    return dict(
        updated=not all(torch.equal(before[name], after[name]) for name in before),
        scale=optim_wrapper.loss_scaler.get_scale(),
    )


def work(rank: int, folder: Path) -> dict[str, Any]:
    """Everything that needs two processes."""
    own = part(images(), slice(0, 3) if rank == 0 else slice(3, 4))
    results: dict[str, Any] = {
        'sizes': gradients_of_step(LocalDataParallel(two_modules()), own),
        'infinite': infinite_on_one(rank),
    }
    for name, label in dict(ignored=255, one_class=2).items():
        data = part(images(), slice(2))
        data = with_labels(data, label) if rank == 1 else data
        results[name] = gradients_of_step(LocalDataParallel(two_modules()), data)
    loader = DataLoader(
        range(NUM_IMAGES),
        batch_size=2,
        sampler=DefaultSampler(range(NUM_IMAGES), shuffle=True, seed=0),
    )
    results['loader'] = [len(indices) for indices in loader]
    sampler = DefaultSampler(range(NUM_IMAGES), shuffle=False, seed=0)
    results['metrics'] = evaluate(LocalDataParallel(two_modules()), sampler, folder)
    return results


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the two processes computed."""
    folder = tmp_path_factory.mktemp('processes')
    (folder / 'collected').mkdir()
    return run_processes(folder, work, folder / 'collected')


def by_hand(data: dict[str, Any]) -> dict[str, torch.Tensor]:
    model = two_modules()
    torch.manual_seed(0)
    inputs = model.data_preprocessor(data, True)
    model.parse_losses(model(**inputs, mode='loss'))[0].backward()
    return gradients(model)


def assert_mean(actual: dict[str, Any], first: dict[str, Any], second: dict[str, Any]) -> None:
    """Check that ``actual`` is the mean of the gradients of two batches."""
    wanted = [by_hand(data) for data in (first, second)]
    for name, value in actual.items():
        mean = (wanted[0][name] + wanted[1][name]) / 2
        torch.testing.assert_close(value, mean, rtol=0, atol=2e-5, msg=name)  # of about 2
        assert value.isfinite().all(), name


def test_each_process_counts_the_same_whatever_its_batch_size(both: list[dict[str, Any]]) -> None:
    for results in both:
        assert_mean(results['sizes'], *(part(images(), rows) for rows in (slice(3), slice(3, 4))))


@pytest.mark.parametrize(('name', 'label'), [('ignored', 255), ('one_class', 2)])
def test_a_process_without_some_labels(both: list[dict[str, Any]], name: str, label: int) -> None:
    data = part(images(), slice(2))
    for results in both:
        assert_mean(results[name], data, with_labels(data, label))


def test_samplers_give_all_processes_batches_of_the_same_sizes(both: list[dict[str, Any]]) -> None:
    assert both[0]['loader'] == both[1]['loader'] == [2, 1]


def test_one_process_with_an_infinite_gradient_stops_all(both: list[dict[str, Any]]) -> None:
    assert [results['infinite'] for results in both] == [dict(updated=False, scale=2.0)] * 2


def test_metrics_are_those_of_one_process(both: list[dict[str, Any]], tmp_path: Path) -> None:
    assert NUM_IMAGES % NUM_PROCESSES  # the padding is left out
    wanted = evaluate(two_modules(), range(NUM_IMAGES), tmp_path)
    assert [results['metrics'] for results in both] == [wanted] * 2
