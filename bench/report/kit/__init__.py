"""What every report is made of: tables, text that fits, colours, plots as SVG and PNG, and the HTML around them."""
