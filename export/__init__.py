"""From a Checkpoint to a Bundle, and the runtime that serves one."""
