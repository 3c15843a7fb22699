"""Runs, plans and policies side by side: what each comes to, and what makes the difference."""
