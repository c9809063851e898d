"""Write a trained model as a plain mmsegmentation config and checkpoint, without local heads.

Both need nothing of this package (what still does is named), and give the same output bit for bit.

Example:
    python tools/export.py configs/infopro_deeplabv3_cityscapes.py work_dirs/first/iter_40000.pth \\
        --out exported
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmseg_infopro.commands import command
from mmseg_infopro.config.options_action import OptionsAction
from mmseg_infopro.config.read import read_config
from mmseg_infopro.files.outputs import check_folder
from mmseg_infopro.run.export import export


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='a config file; configs are code, run only what you trust')
    parser.add_argument('checkpoint', help='a file')
    parser.add_argument('--out', type=Path, required=True, help='a new or empty folder')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionsAction, help='settings as key=value'
    )
    return parser.parse_args()


@command
def main() -> None:
    args = parse_args()
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


if __name__ == '__main__':
    sys.exit(main())
