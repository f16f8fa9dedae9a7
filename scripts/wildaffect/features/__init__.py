"""Features: a row per decoded video frame, or a signal on the video's clock from which windows are cut."""
