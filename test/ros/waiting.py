"""How long a test may wait: it ends when what it waits for happens or a node fails, and this is only the limit."""

LIMIT_SECONDS = 300  # nothing takes that long on the busiest machine
