"""`python tests/campaign`: run the campaign, or show one failure of it again."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# In place of this folder, whose modules would hide packages of the same names.
sys.path[:1] = [str(ROOT / "tests"), str(ROOT / "tests" / "support"), str(ROOT)]

from campaign.command import main  # noqa: E402

if __name__ == "__main__":
    main(prog_name="python tests/campaign")
