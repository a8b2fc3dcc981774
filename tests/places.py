"""Where the project's files lie, and the data that may be laid beside it."""

import os
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
SHARED = Path(os.environ.get("VISIONPORT_SHARED", ROOT.parent / "shared"))
