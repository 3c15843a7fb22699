"""report.json turned into what people see: a terminal, a web page, a live line per step."""
