"""How every published figure is measured, and how it gets into README.md and the pages of docs."""
