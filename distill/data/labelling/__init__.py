"""How the cells of a table say which labels a row has."""
