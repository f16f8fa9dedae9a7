"""wildaffect: audio-visual affect analysis in the wild, from raw videos to a scored report."""

import os

# Nothing leaves the machine. Unless this is set before it is imported, ONNX Runtime tells its maker of its use, and keeps an identity below
# the home folder.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
