"""From a configuration to the list of what has to be made: pure functions behind the workflow's input functions.

``plan.make_plan`` puts it together: ``settings`` completes the configuration, ``scan`` finds the corpus, ``instances`` and ``folds`` say
who learns from what, ``checks`` find what would fail later. Files are named by stage: ``given``, ``inputs``, ``runs``, ``delivery``,
``submissions``. Imports nothing heavy: all this runs each time the workflow is parsed.
"""
