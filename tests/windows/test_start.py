"""The gateway from its first command to its last, as far as Windows can be played on Linux."""

import os
from pathlib import Path

PRETENDING = Path(__file__).parent / "pretending"
# Windows' own encoding for a program whose output goes to a file or another program, and no
# encoding at all for whoever doesn't say which: it shows there as an error.
ENVIRONMENT = {
    **os.environ,
    "LC_ALL": "C",
    "NO_COLOR": "1",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "cp1252",
    "PYTHONPATH": str(PRETENDING),
    "PYTHONUTF8": "0",
    "PYTHONWARNDEFAULTENCODING": "1",
}
