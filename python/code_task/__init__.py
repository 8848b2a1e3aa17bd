"""The coding tasks: what a joint completion defines (by syntax trees or by the published text rules), score and diagnosis."""
