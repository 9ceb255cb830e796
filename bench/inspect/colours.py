"""What colours mean in all plots of an inspection."""

from bench.report.kit.style import OTHERS, OWN

GOLD = OTHERS[0]  # what the truth says, and what is missed of it
PREDICTED = OWN  # what the model says, and what it says wrongly
HIT = OTHERS[6]  # what both say
KINDS = {"found": HIT, "missed": GOLD, "false": PREDICTED}
