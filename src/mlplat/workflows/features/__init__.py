"""The feature store at work: files into it, records out of it, questions to its offline half."""
