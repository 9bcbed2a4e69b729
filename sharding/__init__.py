"""Token ids to packed, traceable rows, and rows to training batches: objectives, packing, shards, loader."""
