"""Pipelines of local modules: weights, buffers, states and logs are those of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.evaluator import Evaluator
from mmseg.evaluation import IoUMetric

from mmseg_infopro.datasets import RowSampler
from mmseg_infopro.hooks.pipeline_evaluation import PipelineEvaluator
from mmseg_infopro.parallel import ModuleParallel
from tests.models import NUM_CLASSES, batch
from tests.parallel.pipelines import (
    CASES,
    of_one_process,
    of_pipeline,
    of_replicas,
    steps_ahead,
    take_steps,
)
from tests.parallel.processes import run_processes

STEPS = 6
PIPELINES = {
    2: ['resnet', 'all of it', 'swin'],
    3: ['hrnet', 'accumulation', 'context'],
    4: ['segformer', 'clipping', 'overflows', 'channels last'],
}
AHEAD = {(1, 1): 1 + 1, (3, 1): 3 + 1, (1, 3): 1 + 3 + 1}
"""For ``in_flight`` and a step of the second process, the batches that it has or that are on their
way to it. In its third step the next border, which it has asked for, has come too."""
ALL = {number: list(CASES) for number in PIPELINES}
"""For the campaign: all cases of every K, over 20 steps."""


def pipelines(rank: int, names: list[str], number: int, steps: int) -> dict[str, Any]:
    """Train each case in a pipeline of all processes; of four, also what needs two by two."""
    found = {name: of_pipeline(rank, name, number, steps) for name in names}
    if number == 2:
        found['ahead'] = {case: steps_ahead(rank, *case, wanted) for case, wanted in AHEAD.items()}
    return found | (two_by_two(rank, steps) if number == 4 else {})


def two_by_two(rank: int, steps: int) -> dict[str, Any]:
    """Train two pipelines of two; the first two processes also by themselves, replicated."""
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    return {
        '2 x 2': of_pipeline(rank, 'resnet', 2, steps),
        'replicas': of_replicas(rank % 2, 'resnet', 2, steps, groups[rank // 2]),
        'rounded': of_pipeline(rank, 'swin', 2, steps, border_dtype='bfloat16'),
        'evaluation': evaluate(rank),
        'refused': refusal(),
    }


def refusal() -> str:
    with pytest.raises(ValueError, match='got 4 processes for 2 modules') as refused:
        ModuleParallel(CASES['resnet'].model(2), staleness=1)
    return str(refused.value)


def evaluate(rank: int) -> dict[str, Any]:
    """Evaluate five images by two pipelines, in the middle of training."""
    case = CASES['resnet']
    wrapper = ModuleParallel(case.model(2), timeout=60)
    optim_wrapper = case.optim_wrapper(wrapper.module)
    take_steps(wrapper, optim_wrapper, case, 1)
    num_bytes = [held(wrapper)]
    wrapper.eval()
    evaluator = PipelineEvaluator(iou_evaluator(), wrapper)
    for index in RowSampler(range(NUM_IMAGES), shuffle=False, processes_per_sample=2):
        evaluator.process(wrapper.val_step(image(index)))
        num_bytes.append(held(wrapper))
    metrics = evaluator.evaluate(NUM_IMAGES)
    wrapper.end_predictions()
    weights = {k: v for k, v in wrapper.module.state_dict().items() if not v.is_meta}
    return dict(metrics=metrics, weights=weights, num_bytes=num_bytes)


NUM_IMAGES = 5


def iou_evaluator() -> Evaluator:
    evaluator = Evaluator(Noting(iou_metrics=['mIoU', 'mFscore']))
    evaluator.dataset_meta = dict(classes=[str(number) for number in range(NUM_CLASSES)])
    return evaluator


class Noting(IoUMetric):
    """Whose metrics also tell the order of the images."""

    def compute_metrics(self, results: list) -> dict[str, Any]:
        labels = [[int(number) for number in counts[3]] for counts in results]
        metrics = super().compute_metrics(results)
        return {**{name: float(value) for name, value in metrics.items()}, 'labels': labels}


def image(index: int) -> dict[str, Any]:
    return batch((32, 48)[index % 2], batch_size=1, seed=index)


def held(wrapper: ModuleParallel) -> int:
    tensors = [*wrapper.module.parameters(), *wrapper.module.buffers()]
    return sum(tensor.nbytes for tensor in tensors if not tensor.is_meta)


@pytest.fixture(scope='module', params=[2, 3, pytest.param(4, marks=pytest.mark.campaign)])
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, list[Any]]:
    """K, and what each process of a pipeline of K returned."""
    number = request.param
    folder = tmp_path_factory.mktemp('processes')
    return number, run_processes(folder, pipelines, PIPELINES[number], number, STEPS, number=number)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def check_same(name: str, num_modules: int, parts: list[dict[str, Any]], steps: int) -> None:
    expected = of_one_process(name, num_modules, steps)
    weights, state = {}, {}
    for index, part in enumerate(parts):
        weights.update(part['weights'])
        state.update(part['optimizer'])
        key = 'tail' if index == num_modules - 1 else index
        assert part['scales'].get(key) == expected['scales'].get(key)
    assert weights.keys() == expected['weights'].keys()
    different = [k for k, v in expected['weights'].items() if not torch.equal(v, weights[k])]
    assert not different
    assert sum(len(part['optimizer']) for part in parts) == len(state)
    assert same(dict(sorted(state.items())), dict(sorted(expected['optimizer'].items())))
    *early, last = [part['predicted'] for part in parts]
    assert same(last, expected['predicted'])
    assert all(logits is None for own in early for logits in own)
    for step, log in enumerate(expected['logs']):
        own = [part['logs'][step] for part in parts]
        total = torch.stack([values.pop('loss') for values in own]).sum()
        assert torch.equal(total, log.pop('loss'))
        joined = {key: value for values in own for key, value in values.items()}
        assert list(joined) == list(log)
        assert same(joined, log)


def test_all_is_as_on_one_process(trained: tuple[int, list[Any]]) -> None:
    num_modules, parts = trained
    for name in PIPELINES[num_modules]:
        check_same(name, num_modules, [part[name] for part in parts], STEPS)
    if num_modules == 2:
        assert parts[1]['ahead'] == AHEAD
    if num_modules == 4:
        check_replicas(parts)
        check_rounded(parts)
        check_evaluation(parts)
        assert len({part['refused'] for part in parts}) == 1


def check_replicas(parts: list[Any]) -> None:
    """Two pipelines in data parallel are data parallelism alone."""
    for rank, part in enumerate(parts):
        wanted = parts[rank // 2]['replicas']  # buffers are of the replica, as its batches
        for name, value in part['2 x 2']['weights'].items():
            torch.testing.assert_close(value, wanted['weights'][name], rtol=0, atol=1e-6)
        for own, log in zip(part['2 x 2']['logs'], wanted['logs'], strict=True):
            names = [name for name in own if name != 'loss']
            assert names
            for name in names:
                torch.testing.assert_close(own[name], log[name], rtol=0, atol=1e-6)
    losses = [part['2 x 2']['logs'][0]['loss'] for part in parts]
    assert losses[0] != losses[2]  # their batches are others


def check_rounded(parts: list[Any]) -> None:
    """The first module is exact, and those behind a rounded border are near that."""
    expected = of_one_process('swin', 2, 1)
    first = [part['rounded']['logs'][0] for part in parts[:2]]
    wanted = expected['logs'][0]
    name = 'local_0.loss_rec'
    assert torch.equal(first[0][name], wanted[name])
    name = 'decode.loss_ce'
    assert not torch.equal(first[1][name], wanted[name])
    torch.testing.assert_close(first[1][name], wanted[name], rtol=1e-2, atol=0)


def check_evaluation(parts: list[Any]) -> None:
    """All processes get the metrics of one process, and none gets other modules' weights."""
    found = [part['evaluation'] for part in parts]
    model = CASES['resnet'].model(2).eval()
    model.load_state_dict(found[0]['weights'] | found[1]['weights'])
    evaluator = iou_evaluator()
    for index in range(NUM_IMAGES):
        evaluator.process(model.val_step(image(index)))
    wanted = evaluator.evaluate(NUM_IMAGES)
    assert len(wanted['labels']) == NUM_IMAGES
    assert all(part['metrics'] == wanted for part in found)
    assert all(len(set(part['num_bytes'])) == 1 for part in found)
    whole = sum(value.nbytes for value in [*model.parameters(), *model.buffers()])
    # What is of no module, as means of images, is everywhere.
    assert whole <= sum(part['num_bytes'][0] for part in found[:2]) < whole + 1000


@pytest.mark.campaign
@pytest.mark.parametrize('number', ALL)
def test_twenty_steps_of_every_case(number: int, tmp_path: Path) -> None:
    parts = run_processes(tmp_path, pipelines, ALL[number], number, 20, number=number)
    for name in ALL[number]:
        check_same(name, number, [part[name] for part in parts], 20)
