"""How often a long-running process looks for garbage."""

import gc
from typing import Final

# A batch of orders makes tens of thousands of short-lived objects, none of them in a cycle.
# Python's own threshold of 700 has it look through them a hundred times for nothing.
_YOUNG_OBJECTS: Final = 50_000


def calm_garbage_collection() -> None:
    """Leave alone what was made at start-up, and look through new objects less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 50)
