"""The four templates: pure functions from settings to resources."""
