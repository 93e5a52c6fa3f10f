"""The computing side: one process that takes block tasks and does them one after another."""
