"""Time, memory and energy of variants, each in a process of its own."""
