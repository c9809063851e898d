"""Start a command in several processes by torch's launcher, and end as the first of them ended.

It takes torchrun's arguments. In place of the launcher's tracebacks it prints a line where the
processes have said nothing, and it passes SIGUSR1, Slurm's warning, on to them.

Example:
    python tools/launch.py --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

HINT = 'launch.py TORCHRUN_ARGUMENTS... COMMAND...; torchrun --help lists them'
QUIET = (2, *(128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)))
"""Statuses of commands that have said why they ended."""


def main() -> int:
    if len(sys.argv) == 1 or {'-h', '--help'} & set(sys.argv[1:2]):
        print(f'usage: {HINT}\n\n{__doc__}')
        return 0
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import get_args_parser, run

    args = get_args_parser().parse_args()
    if 'LOGLEVEL' not in os.environ:
        for name in list(logging.root.manager.loggerDict):
            if name.startswith('torch.distributed'):
                logging.getLogger(name).setLevel(logging.CRITICAL)
    # Not all versions can be told to handle it, and it would end this process alone.
    signal.signal(signal.SIGUSR1, _pass_on)
    try:
        run(args)
    except ChildFailedError as error:
        return _explain(error)
    except SignalException as error:
        return 128 + error.sigval
    except RuntimeError as error:
        if not any(text in str(error) for text in ('EADDRINUSE', 'address already in use')):
            raise
        print(
            f'error: port {args.master_port} of this machine is in use, perhaps by another job: '
            'set PORT to a free one',
            file=sys.stderr,
        )
        return 2
    return 0


def _pass_on(number: int, frame: FrameType | None) -> None:
    from torch.distributed.elastic.multiprocessing.api import SignalException

    raise SignalException(f'got signal {number}', signal.Signals(number))


def _explain(error: Any) -> int:
    """Say how the first process ended that failed, unless it has said it; return its status."""
    rank, failure = error.get_first_failure()
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        print(f'error: process {rank} was killed by signal {name}', file=sys.stderr)
        return 128 - failure.exitcode
    if failure.exitcode not in QUIET:
        print(f'error: process {rank} ended with status {failure.exitcode}', file=sys.stderr)
    return failure.exitcode


if __name__ == '__main__':
    sys.exit(main())
