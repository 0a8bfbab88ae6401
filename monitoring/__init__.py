"""Windows of served predictions, Evidently reports, triggers, and the loop from a trigger to a published refit."""
