"""A local cloud that really trains, tunes and serves, behind the same API as AWS."""
