"""What several systems use: losses, metrics, sampling, narrower networks."""
