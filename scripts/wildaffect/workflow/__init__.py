"""The plan of a run: pure functions from a configuration to the files that have to be made.

`plan.make_plan` puts it together: `settings` checks and completes the configuration, `corpus` finds videos and annotations, `instances`
lists what is trained on which trials, `checks` find what would fail later, `inputs` and `outputs` name the files that jobs read and write.
Imports nothing heavy: all this runs whenever the workflow is parsed.
"""
