"""Recipes to start from, as TOML files; quickstart.toml is what runs where none is named."""
