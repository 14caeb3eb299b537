"""What a day came to, for people and programs: figures, tables on a terminal, one HTML file."""
