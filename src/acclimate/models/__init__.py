"""Models: loading, which family a model is of, and attention that keeps the texts of a packed row apart.

Floor 3: imports from tokens and below; knows nothing of objectives.
"""
