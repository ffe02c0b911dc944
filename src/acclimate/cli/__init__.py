"""The command line: one thin file a verb. Floor 8: parse, call the function, print."""
