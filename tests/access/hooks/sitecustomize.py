"""Python imports this by itself when the folder is in PYTHONPATH: so the Spark job's calls are recorded too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if os.environ.get("RECORD_AWS_CALLS"):
    sys.path.append(str(Path(__file__).parents[3]))
    from tests.access import recorder

    recorder.install()
    sys.path.pop()
