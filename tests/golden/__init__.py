"""Losses of tiny runs, kept: what changes them is either meant, or a mistake. `make golden` writes them anew."""
