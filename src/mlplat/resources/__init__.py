"""Every kind, one import line each; importing this package fills `base.KINDS`."""
