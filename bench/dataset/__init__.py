"""What `distill data check` shows of a dataset: tables, and a page with the images of duplicates."""
