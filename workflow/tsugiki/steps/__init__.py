"""What each rule of the workflow does: read files, call a pure function, write files."""
