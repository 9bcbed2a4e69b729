"""Byte-level BPE: training, the CodeGen2.5 layout of special tokens, and encoding that text cannot trick into control tokens."""
