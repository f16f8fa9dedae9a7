"""Audio features on the grid of decoded video frames."""
