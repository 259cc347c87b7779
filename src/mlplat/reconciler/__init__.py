"""Desired against observed: graph, plan, apply, state and lock."""
