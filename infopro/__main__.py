"""``python -m infopro`` is ``infopro``."""

import sys

from .command import main

sys.exit(main())
