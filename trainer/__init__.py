"""From committed shards to a Llama-compatible model, and samples from it. The only room that knows torch."""
