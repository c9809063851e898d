"""Borders that are asked for before they are needed: they travel while a module computes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from .link import Link


class AheadLink(Link):
    """A :class:`Link` for CPUs, where nothing travels before the process behind asks for it.

    A process asks for its next border when it has got one, before it computes. It must know how
    that will lie in memory: it takes it to be as the last two. Both sides know those, so the one
    before knows what has been asked for. Where the next border is another one, or where none comes
    before :meth:`finish`, it sends what nobody reads.

    A GPU's process queues what it receives and sends, long before the device is there; a border
    asked for ahead would only hold up what is sent behind it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._behind, self._own = Asking(), Asking()
        self._asked: tuple[list[Tensor], list[dist.Work]] | None = None

    def send_flat(self, laid_out: Any, flat: list[Tensor]) -> None:
        """Send what has been asked for, if that is another layout, and then the border."""
        if self._behind.layout not in (None, laid_out):
            self._send_unread()
        super().send_flat(laid_out, flat)
        self._behind.passed(laid_out)

    def receive_flat(self, laid_out: Any, device: torch.device) -> list[Tensor]:
        """Return a border, and ask for the next one if its layout is likely known."""
        is_asked = self._own.layout == laid_out
        flat = self._take()
        if flat is None or not is_asked:
            flat = super().receive_flat(laid_out, device)
        self._own.passed(laid_out)
        if self._own.layout is not None:
            rank, memory = self.ranks[self.stage - 1], self.empty(laid_out, device)
            with self.watch.waiting(rank):
                self._asked = memory, self.begin(dist.irecv, memory, rank)
        return flat

    def finish(self) -> None:
        """Bring to an end what is on its way and what has been asked for."""
        if self._behind.layout is not None:
            self._send_unread()
        self._take()
        self._behind, self._own = Asking(), Asking()
        super().finish()

    def _take(self) -> list[Tensor] | None:
        """Return what has been asked for when it is there."""
        if self._asked is None:
            return None
        (flat, works), self._asked = self._asked, None
        self.wait(works, self.ranks[self.stage - 1])
        return flat

    def _send_unread(self) -> None:
        laid_out = self._behind.layout
        super().send_flat(laid_out, self.empty(laid_out, torch.device('cpu')))


class Asking:
    """What a process asks for, as it and the one before know.

    Attributes:
        layout: Of the border that is asked for; None if none is.
    """

    def __init__(self) -> None:
        self.layout: Any = None
        self._last: Any = None

    def passed(self, laid_out: Any) -> None:
        """Note the layout of a border that has been sent, or got."""
        self.layout = laid_out if laid_out == self._last else None
        self._last = laid_out
