"""From an fp32 graph to int8 or 4 bits: schemes, search, and counting what was quantised."""
