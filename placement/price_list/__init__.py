"""Prices as AWS publishes them: what to ask for, what the answers mean, a new book of them."""
