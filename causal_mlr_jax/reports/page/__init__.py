"""The page of a run, report/index.html, which needs no network and no data.

`run_files.py` reads the run's folder, one file a section turns it into plain
values, `templates/` lays them out, and `write_page.py` puts it all together.
What only the data can give, such as images, is in page_data.json, which a stage
writes when the run ends: `choose_images.py` says which images, `thumbnails.py`
how large.
"""
