"""Where the project and the golden arrays lie."""

import pathlib

ROOT = pathlib.Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
