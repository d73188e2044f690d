"""Extra links on the task's page."""
