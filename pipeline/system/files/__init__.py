"""Files, read and written so that no link of others is followed and no killed run leaves half a file.

No modules but `writing` and `atomic` create, write, rename and delete files. Folders that must be private are made in
`pipeline.system.folders`.
"""
