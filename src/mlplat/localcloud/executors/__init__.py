"""The processes that really do the work: training, tuning, serving."""
