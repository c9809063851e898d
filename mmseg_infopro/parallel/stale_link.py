"""Borders of an asynchronous pipeline: a process trains on what it has, or lets an iteration go."""

from __future__ import annotations

import pickle
from collections import Counter
from copy import deepcopy
from itertools import count
from time import monotonic, sleep
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore

from ..local.carried import Carried
from .border_format import contents, filled, layout, slots, tensors, with_contents
from .link import Link
from .ring import Border, Ring

KINDS = ('new', 'reused', 'untrained')
"""Of iterations: what a process trained on."""
POLL_SECONDS = 0.0005
END = 2**62
"""The iteration of a border that is none: no further one comes before all processes meet."""
_NUMBERS = count()


class StaleLink(Link):
    """A :class:`Link` whose processes do not wait for one another, within a bound.

    All processes count the same iterations, and in each of them a process trains once or not at
    all:

    - Where the next border has not arrived, it trains on an earlier one, made at most ``staleness``
      iterations ago and used fewer than ``reuse`` times, with the samples of that border's batch.
      Where there is none, it waits.
    - Where ``in_flight`` borders are on their way, the new one is dropped, unless the process
      behind is more than ``in_flight`` + ``staleness`` iterations back: then it waits.
    - A process lets an iteration go, untrained, where its border was dropped or where the process
      behind is further: so it catches up.

    So a slow process takes part in fewer iterations, and holds up no other one within the bounds.

    Args:
        args: As for :class:`Link`.
        store: Of the job: how far each process is.
        staleness: At least 1.
        reuse: At least 1.
        kwargs: As for :class:`Link`.

    Attributes:
        counts: Of iterations of this process: ``'new'``, on a border that is used for the first
            time (or the process's own batch), ``'reused'``, and ``'untrained'``; and of borders
            that were ``'dropped'``.
    """

    def __init__(self, *args: Any, store: Any, staleness: int, reuse: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._store = PrefixStore(f'borders {next(_NUMBERS)}', store)
        self._ring = Ring(staleness, reuse)
        self._is_last = self.stage == len(self.ranks) - 1
        self._iteration = -1
        self._own: dict[int, Any] = {}
        self._chosen: Border | None = None
        self._next: Tensor | None = None
        self._num_read = 0
        self._layouts: list[Any] = []
        self._layouts_before: list[Any] = []
        self._device = torch.device(get_device())
        self._num_sent = 0
        self.counts: Counter[str] = Counter()

    def choose(self, iteration: int, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return the samples to train on: those of the border that :meth:`receive` returns.

        Raises:
            LostProcessError: The process before is.
        """
        self._store.add(f'at {self.stage}', iteration - self._iteration)
        self._iteration = iteration
        is_behind = not self._is_last and self._at(self.stage + 1) > iteration
        if self.stage == 0:
            self.counts['untrained' if is_behind else 'new'] += 1
            return None if is_behind else data
        self._keep(data)
        self._chosen = self._pick(is_behind)
        if self._chosen is None:
            self.counts['untrained'] += 1
            return None
        self.counts['reused' if self._chosen.uses else 'new'] += 1
        self._chosen.uses += 1
        # Data preprocessors may pad labels in place.
        return deepcopy(self._own[self._chosen.batch])

    def receive(self, own: Carried, backbone: Any) -> Carried:
        """Return what the module starts from; the ring keeps it as it is."""
        border = self._chosen
        if border is None:
            raise RuntimeError('no border has been chosen for this step')
        places = slots(border.layout)
        values = [
            slot.placed(memory.clone()) for slot, memory in zip(places, border.values, strict=True)
        ]
        return with_contents(own, filled(border.layout, values), backbone)

    def send(self, carried: Carried) -> None:
        """Begin to send what a module left, or drop it."""
        self._let_go()
        if len(self.sent) >= self.in_flight:
            bound = self.in_flight + self._ring.staleness
            if self._iteration - self._at(self.stage + 1) <= bound:
                self.counts['dropped'] += 1
                return
            self._wait_until_taken()
        nest = contents(carried)
        laid_out, leaves = layout(nest), tensors(nest)
        if laid_out not in self._layouts:
            key = f'layout {self.stage} {len(self._layouts)}'
            self._store.set(key, pickle.dumps(laid_out).hex())
            self._layouts.append(laid_out)
        batch = self._iteration if self._chosen is None else self._chosen.batch
        self._begin_to_send([self._iteration, batch, self._layouts.index(laid_out)], leaves)

    def finish(self) -> None:
        """Bring to the next process all that is on its way, on all processes of a pipeline."""
        if not self._is_last:
            self._begin_to_send([END, END, END], [])
        if self.stage:
            while int(self._header()[0]) != END:
                self._take()
            self._next = None
            self._store.add(f'taken {self.stage - 1}', 1)
        super().finish()

    def _pick(self, is_behind: bool) -> Border | None:
        """Return the border to train on; None lets the iteration go."""
        while self._has_arrived() and self._next_is_due():
            self._take()
        while True:
            border = self._ring.pick(self._iteration)
            overtaken = self._next is not None and not self._next_is_due()
            if is_behind or (overtaken and (border is None or border.uses)):
                return None
            if border is not None:
                return border
            if self._next_is_due():  # waits for it
                self._take()

    def _keep(self, data: dict[str, Any]) -> None:
        """Keep a batch as long as a border of it may arrive, through all processes before."""
        oldest = self._iteration - self.stage * self._ring.staleness
        self._own = {number: own for number, own in self._own.items() if number >= oldest}
        self._own[self._iteration] = data

    def _has_arrived(self) -> bool:
        sent = self._store.add(f'sent {self.stage - 1}', 0)
        return self._next is not None or bool(sent > self._num_read)

    def _next_is_due(self) -> bool:
        """Whether the next border was made in an iteration that this process has reached."""
        return int(self._header()[0]) <= self._iteration

    def _header(self) -> Tensor:
        """Return what is said of the next border; waits until there is one."""
        if self._next is None:
            rank, header = self.ranks[self.stage - 1], torch.empty(3, dtype=torch.int64)
            with self.watch.waiting(rank):
                dist.recv(header, rank, group=self.control)
            self._num_read += 1
            self._next = header
        return self._next

    def _take(self) -> None:
        """Receive the next border."""
        made, batch, number = self._header().tolist()
        self._next = None
        before = self.stage - 1
        while number >= len(self._layouts_before):
            key = f'layout {before} {len(self._layouts_before)}'
            self._layouts_before.append(pickle.loads(bytes.fromhex(self._store.get(key).decode())))
        laid_out = self._layouts_before[number]
        values = self.receive_flat(laid_out, self._device)
        self._store.add(f'taken {before}', 1)
        self._ring.put(Border(made, batch, laid_out, values))

    def _begin_to_send(self, header: list[int], leaves: list[Tensor]) -> None:
        rank = self.ranks[self.stage + 1]
        said, flat = torch.tensor(header), self.flatten(leaves)
        with self.watch.waiting(rank):
            announced = dist.isend(said, rank, group=self.control)
            works = [announced, *self.begin(dist.isend, flat, rank)]
        self.sent.append(([work for work in works if work is not None], [said, *flat]))
        self._num_sent += 1
        self._store.add(f'sent {self.stage}', 1)

    def _at(self, stage: int) -> int:
        """Return the iteration that a process is in, -1 before the first one."""
        return int(self._store.add(f'at {stage}', 0)) - 1

    def _let_go(self) -> None:
        """Forget what has arrived."""
        taken = self._store.add(f'taken {self.stage}', 0)
        while self._num_sent - len(self.sent) < taken:
            self.wait(self.sent.popleft()[0], self.ranks[self.stage + 1])

    def _wait_until_taken(self) -> None:
        """Wait until fewer than ``in_flight`` borders are on their way; a GPU's process too."""
        rank, end = self.ranks[self.stage + 1], monotonic() + self.watch.timeout
        with self.watch.waiting(rank):
            self.wait(self.sent.popleft()[0], rank)
            while self._store.add(f'taken {self.stage}', 0) < self._num_sent - len(self.sent):
                if monotonic() > end:
                    raise RuntimeError('a border has not been taken: timed out')
                sleep(POLL_SECONDS)
