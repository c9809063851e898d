"""Steps of several kinds, timed by turns."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from mmseg_infopro.measure.real_step import RealStep
from mmseg_infopro.measure.step_time import time_in_rounds
from tests.models import batch, build, model_config

OPTIMIZER = dict(type='SGD', lr=0.1, momentum=0.9)


class FakeStep:
    """Notes that it was made and taken."""

    device = 'cpu'

    def __init__(self, name: str, notes: list[str], fails_after: int = 99) -> None:
        notes.append(f'make {name}')
        self.name, self.notes, self.left = name, notes, fails_after

    def take(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        self.notes.append(self.name)

    def seconds(self) -> float:
        self.take()
        return float(len(self.notes))


def test_kinds_take_turns_each_after_a_warm_up() -> None:
    notes: list[str] = []
    makers = {name: lambda name=name: FakeStep(name, notes) for name in 'ab'}
    turns: list[int] = []
    times = time_in_rounds(makers, num_rounds=2, num_steps=2, advance=lambda: turns.append(1))
    assert notes == 2 * ['make a', 'a', 'a', 'a', 'make b', 'b', 'b', 'b']
    assert times['a'].rounds == [[3, 4], [11, 12]]
    assert times['b'].round_seconds() == [7.5, 15.5]
    assert times['b'].seconds() == 11.5
    assert len(turns) == 4


@pytest.mark.parametrize('fails_after', [0, 2])
def test_what_runs_out_of_memory_says_so_and_the_others_go_on(fails_after: int) -> None:
    notes: list[str] = []
    makers = {
        'big': lambda: FakeStep('big', notes, fails_after),
        'small': lambda: FakeStep('small', notes),
    }
    times = time_in_rounds(makers, num_rounds=3, num_steps=2)
    assert times['big'].failure == 'out of GPU memory'
    assert not times['big'].timed
    assert notes.count('make big') == 1
    assert times['small'].timed
    assert len(times['small'].rounds) == 3


def test_other_errors_are_not_hidden() -> None:
    def make() -> RealStep:
        raise RuntimeError('a bug')

    with pytest.raises(RuntimeError, match='a bug'):
        time_in_rounds({'a': make}, 1, 1)


@pytest.mark.parametrize('accumulated', [1, 3])
def test_a_real_step_trains_as_the_model_does(accumulated: int) -> None:
    model = build(model_config(local=dict(boundaries=['layer2.0'])))
    expected = deepcopy(model)
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9)
    wrapper = OptimWrapper(optimizer, accumulative_counts=accumulated)
    for _ in range(2 * accumulated):
        expected.train_step(batch(), wrapper)
    cfg = ConfigDict(optimizer=OPTIMIZER, accumulative_counts=accumulated)
    step = RealStep(model, cfg, batch, 'cpu')
    step.take()
    assert step.seconds() > 0
    for name, value in expected.state_dict().items():
        assert torch.equal(step.model.state_dict()[name], value), name


def test_mixed_precision_is_autocasting_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = ConfigDict(type='AmpOptimWrapper', dtype='bfloat16', optimizer=OPTIMIZER)
    step = RealStep(build(model_config()), cfg, batch, 'cpu')
    assert not isinstance(step.optim_wrapper, AmpOptimWrapper)
    seen = []
    step.model.decode_head.conv_seg.register_forward_hook(lambda *call: seen.append(call[-1].dtype))
    step.take()
    assert seen == [torch.bfloat16]
    assert step.model.decode_head.conv_seg.weight.dtype == torch.float32
