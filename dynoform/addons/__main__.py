"""``python3 -m dynoform.addons``: a shift of the databases' process, started while somebody waits for it."""

import gc
import importlib
import sys

gc.disable()
shift = importlib.import_module("dynoform.addons.shift")
gc.freeze()
gc.enable()
sys.exit(shift.main())
