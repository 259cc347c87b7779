"""mlplat: a machine-learning platform on Amazon SageMaker, or on a laptop, from one command."""

__version__ = "0.1.0"
