"""Requests checked by the services' models: what is wrong, and how AWS says it."""
