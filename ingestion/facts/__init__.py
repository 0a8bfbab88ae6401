"""Raw -> facts: the stop engine. One kernel for batch and stream, exact, independent of arrival order."""
