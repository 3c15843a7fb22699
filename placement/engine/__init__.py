"""Plans whole task graphs: workflow traces and workflow files, to the single task."""
