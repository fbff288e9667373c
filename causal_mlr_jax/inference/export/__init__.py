"""A trained model for other programs, one format a file.

Each file has `FILE`, the name of what it writes; `what(bundle)`, a sentence for
model.json; `check(bundle)`, which raises a `UserError` where the format cannot
be had; and `write(bundle, path)`. A new format is a file here and a name in
`write_folder.py`.
"""
