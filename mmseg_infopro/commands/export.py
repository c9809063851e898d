"""Write a trained model as a plain mmsegmentation config and checkpoint, without local heads."""

from __future__ import annotations

import sys
from argparse import Namespace

from ..config.read import read_config
from ..files.outputs import check_folder
from ..run.export import export
from .ending import command


@command
def main(args: Namespace) -> None:
    check_folder('--out', args.out)
    written = export(read_config(args.config, args.cfg_options), args.checkpoint, args.out)
    print(f'written: {written.config}')
    print(f'written: {written.checkpoint}')
    if not written.is_plain:
        print(
            'warning: local.context changes what the network predicts, and mmsegmentation has '
            'nothing like it: the model keeps its type, and needs mmseg_infopro',
            file=sys.stderr,
        )
        return
    print('the plain model gives the same logits for a random image, bit for bit')
    if written.remaining:
        print(
            f'warning: {", ".join(written.remaining)} has no equivalent in mmsegmentation, so the '
            'config keeps custom_imports of mmseg_infopro for it; the model itself is plain',
            file=sys.stderr,
        )
