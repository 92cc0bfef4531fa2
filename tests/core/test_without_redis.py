"""A gateway without Redis doesn't pay for its client: ten megabytes, and time at each start."""

import subprocess
import sys


def test_a_gateway_without_redis_imports_neither_its_client_nor_dramatiq():
    code = (
        "import sys, gateway.hooks, gateway.http.app, gateway.runtime;"
        "print([each for each in ('redis', 'dramatiq') if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
