"""What AWS billed for a run: reads its bill's lines, and sets them beside what was measured."""
