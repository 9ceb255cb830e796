"""Measuring quality, latency, memory and size of everything that can predict.

`run` measures variants (`runtimes/`, `peers/`): their `quality/`, and time and memory (`measure/`). `report/` holds
the result, its tables and its page; `compare` and `rules` judge two reports; `inspect/` shows what one model gets
wrong; `device/` packs a benchmark for a device.

To add a metric to the headline table, the rules and the comparison:

1. If the figure is not in the report yet, measure it and give it a field of `report.types.Row` (raise `SCHEMA`).
2. Add one `Metric` to `REGISTRY` in `report/columns.py`: its name in rules, its title, how it is read from a row,
   its heading, unit and digits, which way is better, and whether it depends on the examples or on the machine.

The terminal, Markdown, the page, `--fail-on` and `distill bench compare` then have it. The other tables (memory,
stages, quality, timings) are not made from the registry: a figure of theirs is added in `report/tables.py`.
"""

PART_OF = "distill"
