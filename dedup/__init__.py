"""Exact and near-duplicates: shingles, MinHash, LSH, verification, keepers. Pure arrays: no files, no Beam.

text ─▶ exact      groups by content hash
     ─▶ minhash    one signature a document                    estimate of the Jaccard similarity
           └▶ lsh      band keys ─▶ candidate pairs            complete, not precise
                └▶ verify   exact Jaccard of shingle sets      precise
                     └▶ keepers  which of two stays            nothing is removed through a chain
"""
