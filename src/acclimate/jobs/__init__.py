"""Jobs: whole pieces of work made of the floors below.

Floor 7: imports from everything but the command line.
"""
