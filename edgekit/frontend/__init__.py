"""Sources become graphs: one sub-package per format, one function per source op."""
