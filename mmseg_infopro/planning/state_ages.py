"""What of a state was there some units before: branches that units pass on as they are."""

from __future__ import annotations

from ..backbones import State
from .unit_bytes import by_storage


class StateAges:
    """Knows how many units ago the tensors of a state were made.

    Args:
        state: That the first unit starts from.
    """

    def __init__(self, state: State) -> None:
        self._ages: dict[int, int] = {}
        self.carried(state)

    def carried(self, state: State) -> tuple[int, ...]:
        """Return what of the next unit's state was there one unit before, two, and so on.

        Args:
            state: Bytes of a storage that several of its tensors share count once.
        """
        storages = {key: tensor.nbytes for key, tensor in by_storage(state).items()}
        # Storages that the state before had are alive: no address is used twice.
        self._ages = {key: self._ages.get(key, -1) + 1 for key in storages}
        sizes = [(self._ages[key], size) for key, size in storages.items()]
        oldest = max(self._ages.values(), default=0)
        return tuple(sum(size for age, size in sizes if age >= k) for k in range(1, oldest + 1))
