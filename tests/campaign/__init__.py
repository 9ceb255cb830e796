"""A differential and fault campaign: `make campaign`, or `python tests/campaign --help`.

fuzz         files and settings from strangers: read, or refused with a DistillError, within limits
metamorphic  predictions that must not change when only their form, order or company does
writers      two writers and a killer on every --out: absent, whole old or whole new at every moment
streams      every command with closed, full, broken and non-UTF-8 standard streams: one line, never a traceback
"""
