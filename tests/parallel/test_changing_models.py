"""Hooks freeze, thaw and adapt a model on two processes: the weights are those of plain steps."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmseg_infopro.hooks import FirstStepCheckHook, ThawHook
from mmseg_infopro.parallel import LocalDataParallel
from tests.models import GN, HEADS, batch, build, model_config
from tests.parallel.processes import run_processes

STEPS = 4
FIRST = 'backbone.stem', 'backbone.layer1', 'backbone.layer2'


class Adapter(nn.Module):
    """A convolution with another one of rank 2 beside it, as LoRA has them."""

    def __init__(self, conv: nn.Conv2d, seed: int) -> None:
        super().__init__()
        self.conv = conv
        size = dict(kernel_size=conv.kernel_size, stride=conv.stride, dilation=conv.dilation)
        self.down = nn.Conv2d(conv.in_channels, 2, padding=conv.padding, bias=False, **size)
        self.up = nn.Conv2d(2, conv.out_channels, 1, bias=False)
        with torch.no_grad():
            self.down.weight.normal_(generator=torch.Generator().manual_seed(seed))
            self.up.weight.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.up(self.down(x))


def require_gradient(model: Any, value: bool) -> None:
    for name, parameter in model.named_parameters():
        if name.startswith(FIRST):
            parameter.requires_grad = value


def frozen(model: Any, optimizer: Any, step: int, seed: int) -> None:
    """Freezes before training, thaws before step 2."""
    if step in (0, 2):
        require_gradient(model, step == 2)


def frozen_later(model: Any, optimizer: Any, step: int, seed: int) -> None:
    if step == 2:
        require_gradient(model, False)


def adapted(model: Any, optimizer: Any, step: int, seed: int) -> None:
    """Freezes the backbone and adapts some of it, before training."""
    if step != 0:
        return
    model.backbone.requires_grad_(False)
    for layer in (model.backbone.layer1[0], model.backbone.layer3[1]):
        layer.conv1 = Adapter(layer.conv1, seed)
        own = [*layer.conv1.down.parameters(), *layer.conv1.up.parameters()]
        optimizer.add_param_group(dict(params=own))


Change = Callable[[Any, Any, int, int], None]
CASES: dict[str, tuple[Change, int]] = {
    f'{change.__name__}, K={num_modules}': (change, num_modules)
    for change in (frozen, frozen_later, adapted)
    for num_modules in (1, 2)
}


def model_of(num_modules: int, seed: int = 0) -> Any:
    local = dict(boundaries=['layer2.1'][: num_modules - 1], heads=HEADS)
    return build(model_config(local=local, norm=GN), seed)


def joined_batch(step: int) -> dict[str, Any]:
    return batch(size=32, batch_size=4, seed=step)


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def train_wrapped(rank: int, change: Change, num_modules: int) -> dict[str, Tensor]:
    """Return the weights of steps with a run's hooks around them; ``change`` is a user's hook."""
    wrapper = LocalDataParallel(model_of(num_modules, seed=rank))
    optimizer = sgd(wrapper.module)
    logger = SimpleNamespace(warning=print)
    run: Any = SimpleNamespace(
        model=wrapper, optim_wrapper=OptimWrapper(optimizer), logger=logger, iter=0
    )
    hooks = [FirstStepCheckHook(), ThawHook()]
    change(wrapper.module, optimizer, 0, rank)
    for hook in hooks:
        hook.before_train(run)
    for step in range(STEPS):
        if step:
            change(wrapper.module, optimizer, step, rank)
        for hook in hooks:
            hook.before_train_iter(run, step)
        data = {key: value[2 * rank : 2 * rank + 2] for key, value in joined_batch(step).items()}
        wrapper.train_step(data, run.optim_wrapper)
        for hook in hooks:
            hook.after_train_iter(run, step)
    return deepcopy(wrapper.module.state_dict())


def train_plainly(change: Change, num_modules: int) -> dict[str, Tensor]:
    """Return the weights of a plain loop on the joined batches; for K=1 of mmseg's own model."""
    model = model_of(2) if num_modules == 2 else build(model_config(norm=GN))
    optimizer = sgd(model)
    for step in range(STEPS):
        change(model, optimizer, step, 0)
        data = model.data_preprocessor(joined_batch(step), True)
        optimizer.zero_grad()
        model.parse_losses(model(**data, mode='loss'))[0].backward()
        optimizer.step()
    return model.state_dict()


def work(rank: int) -> dict[str, Any]:
    return {name: train_wrapped(rank, *case) for name, case in CASES.items()}


@pytest.fixture(scope='module')
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run_processes(tmp_path_factory.mktemp('processes'), work)


@pytest.mark.parametrize('name', CASES)
def test_the_weights_are_those_of_plain_steps(both: list[dict[str, Any]], name: str) -> None:
    expected = train_plainly(*CASES[name])
    for results in both:
        assert results[name].keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(results[name][key], value, rtol=0, atol=1e-6, msg=key)


def test_what_is_adapted_learns_and_what_is_frozen_stays(both: list[dict[str, Any]]) -> None:
    begun = model_of(2).state_dict()
    trained = both[0]['adapted, K=2']
    layer = 'backbone.layer3.1.conv1'
    assert torch.equal(trained[f'{layer}.conv.weight'], begun[f'{layer}.weight'])
    assert trained[f'{layer}.up.weight'].abs().max() > 0
    weight = 'backbone.layer1.0.conv1.weight'
    assert not torch.equal(both[0]['frozen, K=2'][weight], begun[weight])
