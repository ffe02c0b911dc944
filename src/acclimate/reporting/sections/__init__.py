"""One file a section: from facts and words to HTML."""
