"""The `trivium` command: what a user runs, and the stack on a laptop."""
