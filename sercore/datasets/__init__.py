"""A corpus as one run sees it: features, targets and splits -> batches."""
