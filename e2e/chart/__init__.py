"""The chart, put to helm and to a real API server."""
