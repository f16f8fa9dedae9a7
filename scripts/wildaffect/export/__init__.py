"""Results in the formats of other programs and repositories; a module per format, all listed in `wildaffect.export.catalogue`."""
