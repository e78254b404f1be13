"""A market from somebody's own exports: look at the files, recognise them, ask what they do not tell, write it down."""
