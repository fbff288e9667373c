"""The last stage of a run: its report, and the page with images of its data."""
