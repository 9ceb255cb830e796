"""What a search of students costs on this machine, and its page: the measuring and drawing for student.search."""
