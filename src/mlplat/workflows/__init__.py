"""What people do on the platform: sequences of calls for features, training, deployment. No printing."""
