"""The relaxation behind the lower bounds; nothing here is shared with what makes plans."""
