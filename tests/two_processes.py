"""What each of two processes does in test_processes.py: commands, one after another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from distill.cli import main

asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
for words in asked["commands"]:
    main(words, standalone_mode=False)
