"""What the rooms of Spanmill hand one another: schemas, manifests, special tokens, settings, errors.

Every other room may import this one; it imports none of them. Standard library, numpy, pyarrow and pydantic only.
"""
