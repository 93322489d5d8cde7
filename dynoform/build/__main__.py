"""``python3 -m dynoform.build``: a builder's shift, started while somebody waits for it.

All that it imports stays to its end: looking for garbage in it meanwhile takes a fifth of the start.
"""

import gc
import importlib
import sys

gc.disable()
head_start = importlib.import_module("dynoform.build.head_start").HeadStart()
head_start.begin()
shift = importlib.import_module("dynoform.build.shift")
gc.freeze()
gc.enable()
sys.exit(shift.main(head_start))
