"""A small Llama that learns from the shards and fills in what is missing: the only room that knows torch."""

import os

# OpenMP threads that wait spin by default. On a machine that does anything else besides, they take each other's cores: twelve steps took
# 57 s spinning and 11 s sleeping on two busy cores. Read when torch is loaded, so it must stand before any of its imports.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
