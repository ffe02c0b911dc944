"""Drawings: plain data in, inline SVG out. Colours are those of the page's style sheet."""
