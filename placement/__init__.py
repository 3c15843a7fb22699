"""The pure engine: workflow files, books, model, planner and account; no AWS, clock, printing."""
