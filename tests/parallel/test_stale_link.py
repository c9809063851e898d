"""Pipelines that wait for nobody: what is trained on when a process is slow, and its labels."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.distributed_c10d import PrefixStore

from mmseg_infopro.local.clock import current_iteration
from mmseg_infopro.parallel import ModuleParallel
from mmseg_infopro.upstream import job_store
from tests.models import batch
from tests.parallel.pipelines import CASES, predictions, take_steps
from tests.parallel.processes import run_processes

STALENESS = 2


class Recorded:
    """An asynchronous pipeline of tiny modules: what each of them trained on, and passed on.

    Attributes:
        started, sent: Of each iteration, the state and the label maps.
    """

    def __init__(self, num_modules: int, steps: int, **kwargs: Any) -> None:
        self.steps = steps
        case = CASES['resnet']
        self.wrapper = ModuleParallel(case.model(num_modules), timeout=60, **kwargs)
        self.optim_wrapper = case.optim_wrapper(self.wrapper.module)
        self.started: dict[int, Any] = {}
        self.sent: dict[int, Any] = {}
        link = self.wrapper.link
        receive, send = link.receive, link.send

        def noted_receive(own: Any, backbone: Any) -> Any:
            carried = receive(own, backbone)
            self.started[current_iteration()] = noted(carried)
            return carried

        def noted_send(carried: Any) -> None:
            self.sent[current_iteration()] = noted(carried)
            send(carried)

        link.receive, link.send = noted_receive, noted_send

    def train(self) -> dict[str, Any]:
        logs = take_steps(self.wrapper, self.optim_wrapper, CASES['resnet'], self.steps)
        self.wrapper.link.finish()
        assert len(logs) == self.steps
        counts = dict(self.wrapper.link.counts)
        return dict(started=self.started, sent=self.sent, counts=counts, logs=logs)


def noted(carried: Any) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.stack([sample.gt_sem_seg.data for sample in carried.samples])
    return carried.state.clone(), labels.clone()


def wait_for(store: Any, key: str, number: int) -> None:
    """Wait until a process has taken some steps."""
    deadline = time.monotonic() + 10
    while store.add(key, 0) < number and time.monotonic() < deadline:
        time.sleep(0.01)


def wait_until(store: Any, key: str, number: int) -> int:
    """Wait until a process has taken some steps, and look whether it takes one more."""
    wait_for(store, key, number)
    time.sleep(1.5)  # a loaded machine has to come to where it waits
    return int(store.add(key, 0))


def slow_sender(rank: int, reuse: int | None) -> dict[str, Any]:
    """The first process hangs in its second iteration until the other one waits for it."""
    recorded = Recorded(2, 8, staleness=STALENESS, reuse=reuse)
    store = PrefixStore(f'sender {reuse}', job_store())
    reached: list[int] = []
    wanted = reuse or STALENESS + 1

    def wait(*_: Any) -> None:
        if current_iteration() == 1:
            reached.append(wait_until(store, 'steps', wanted))

    if rank == 0:
        recorded.wrapper.module.backbone.layer1[0].register_forward_pre_hook(wait)
    else:
        layer = recorded.wrapper.module.backbone.layer4[0]
        layer.register_forward_pre_hook(lambda *_: store.add('steps', 1) and None)
    return dict(recorded.train(), reached=reached)


def slow_receiver(rank: int, in_flight: int) -> dict[str, Any]:
    """The second process hangs in its first iteration until the other one waits for it."""
    recorded = Recorded(2, 10, staleness=STALENESS, in_flight=in_flight)
    store = PrefixStore(f'receiver {in_flight}', job_store())
    reached: list[int] = []
    if rank == 0:
        send = recorded.wrapper.link.send

        def counted(carried: Any) -> None:
            send(carried)
            store.add('steps', 1)

        recorded.wrapper.link.send = counted

    def wait(*_: Any) -> None:
        if not reached:
            reached.append(wait_until(store, 'steps', 1 + in_flight + STALENESS))

    if rank == 1:
        recorded.wrapper.module.backbone.layer4[0].register_forward_pre_hook(wait)
    return dict(recorded.train(), reached=reached)


def predicts_between(rank: int) -> dict[str, Any]:
    """What is on its way arrives before what a validation needs."""
    recorded = Recorded(2, 5, staleness=STALENESS)
    before = recorded.train()
    segmentor = recorded.wrapper.module
    weights = {k: v.clone() for k, v in segmentor.state_dict().items() if not v.is_meta}
    predicted = predictions(recorded.wrapper, segmentor)
    return dict(predicted=predicted, weights=weights, before=before, after=recorded.train())


def of_two(rank: int) -> dict[str, Any]:
    return {
        'slow sender': slow_sender(rank, None),
        'reused once': slow_sender(rank, 1),
        'slow receiver': {number: slow_receiver(rank, number) for number in (1, 3)},
        'predicts': predicts_between(rank),
    }


def of_three(rank: int, slow: int) -> dict[str, Any]:
    """One of three processes stays behind a neighbour after its first step."""
    recorded = Recorded(3, 16, staleness=STALENESS, in_flight=1)
    store = PrefixStore('three', job_store())
    neighbour, ahead = (slow - 1, STALENESS) if slow else (1, 1)
    train_step, iterations = recorded.wrapper.train_step, count()

    def counted(*args: Any, **kwargs: Any) -> Any:
        iteration = next(iterations)
        if rank == neighbour:
            store.add('begun', 1)
        elif rank == slow and iteration:
            wait_for(store, 'begun', min(iteration + ahead + 1, recorded.steps))
        return train_step(*args, **kwargs)

    recorded.wrapper.train_step = counted
    return recorded.train()


@pytest.fixture(scope='module')
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes recorded."""
    return run_processes(tmp_path_factory.mktemp('processes'), of_two)


def sources(before: dict[str, Any], behind: dict[str, Any]) -> dict[int, int]:
    """Return in which iteration what a process trained on was made; its labels are of that."""
    found = {}
    for iteration, (state, labels) in behind['started'].items():
        equal = [made for made, (sent, _) in before['sent'].items() if torch.equal(sent, state)]
        (found[iteration],) = equal
        assert torch.equal(before['sent'][equal[0]][1], labels)
    return found


def check_first_labels(first: dict[str, Any]) -> None:
    for iteration, (_, labels) in first['sent'].items():
        size = CASES['resnet'].sizes[iteration % 3]  # padded by the data preprocessor
        samples = batch(size, seed=iteration)['data_samples']
        wanted = torch.stack([sample.gt_sem_seg.data for sample in samples])
        assert torch.equal(labels[..., :size, :size], wanted)


def check_bounds(made: dict[int, int], staleness: int, reuse: int) -> None:
    assert all(0 <= iteration - source <= staleness for iteration, source in made.items())
    assert max(list(made.values()).count(source) for source in made.values()) <= reuse


def test_a_slow_sender_is_waited_for_beyond_the_bound_only(two: list[dict[str, Any]]) -> None:
    first, second = (part['slow sender'] for part in two)
    made = sources(first, second)
    assert first['reached'] == [STALENESS + 1]
    assert [made[iteration] for iteration in range(4)] == [0, 0, 0, 1]
    check_bounds(made, STALENESS, STALENESS + 1)
    check_first_labels(first)
    # It let an iteration go in order to catch up, and the log has the values of before.
    assert first['counts']['untrained'] >= 1
    assert first['logs'][2] == first['logs'][1]


def test_reuse_bounds_how_often(two: list[dict[str, Any]]) -> None:
    first, second = (part['reused once'] for part in two)
    made = sources(first, second)
    assert first['reached'] == [1]
    assert second['counts'].get('reused', 0) == 0
    check_bounds(made, STALENESS, 1)


@pytest.mark.parametrize('in_flight', [1, 3])
def test_a_slow_receiver_holds_nobody_up_within_the_bound(
    two: list[dict[str, Any]], in_flight: int
) -> None:
    first, second = (part['slow receiver'][in_flight] for part in two)
    made = sources(first, second)
    # It has the first border; others are on their way, and further ones were dropped.
    assert second['reached'][0] == 1 + in_flight + STALENESS
    assert first['counts']['dropped'] >= STALENESS
    assert second['counts']['untrained'] >= STALENESS
    check_bounds(made, STALENESS, STALENESS + 1)
    check_first_labels(first)


def test_a_prediction_between_two_iterations(two: list[dict[str, Any]]) -> None:
    parts = [part['predicts'] for part in two]
    model = CASES['resnet'].model(2)
    model.load_state_dict(parts[0]['weights'] | parts[1]['weights'])
    for found, wanted in zip(parts[1]['predicted'], predictions(model, model), strict=True):
        assert torch.equal(found, wanted)
    for part in parts:
        trained = part['after']['counts']
        assert trained['new'] + trained.get('reused', 0) + trained.get('untrained', 0) == 10


@pytest.mark.parametrize(
    'slow',
    [1, pytest.param(0, marks=pytest.mark.campaign), pytest.param(2, marks=pytest.mark.campaign)],
)
def test_labels_stay_with_their_border_through_all_processes(slow: int, tmp_path: Path) -> None:
    first, second, third = run_processes(tmp_path, of_three, slow, number=3)
    check_first_labels(first)
    for before, behind in ((first, second), (second, third)):
        check_bounds(sources(before, behind), STALENESS, STALENESS + 1)
    counts = [part['counts'] for part in (first, second, third)]
    assert counts[slow]['untrained'] > 0
