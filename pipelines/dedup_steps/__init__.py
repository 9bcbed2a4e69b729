"""The steps of the dedup stage; pipelines/dedup.py says how they follow one another.

What they leave in the stage's work folder:

    PART.documents.npy   DOCUMENT_ROW of each document             PART.signatures.npy   uint32[n, num_perm]
    PART.nodes.npy       node of each document, or -1              places.npy            int64[nodes, 2]: part and row
    exact.npy            int64[k, 4]: part, row, keeper's part, keeper's row of each exact duplicate
    pairs/*.npy          candidate pairs                           batches/BATCH.npy     pairs of whole components
    PART.members.npy     nodes whose shingle sets are kept         PART.sets.npy, PART.set_offsets.npy
    resolved/BATCH.npy   RESOLVED of each near-duplicate

A node is a document that may have near-duplicates, numbered in priority order, so that of two nodes the smaller is kept.
"""
