"""The report of a run: one self-contained HTML file, from what lies in the run folder."""
