"""Tables for statistics: values by frame, by person and video, and by segment, each with a dictionary of its columns."""
