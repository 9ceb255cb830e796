"""Which posts to label next: the rule, the posts that it chooses from, and the file of those to label."""
