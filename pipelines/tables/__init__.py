"""What people say of their own images: by a table, or by the folders they lie in.

Flows in: a folder, as somebody made it. Flows out: which images there are, which classes each has, and what was taken
for what.

Front: class_folders, class_names, csv_cells, file_names, image_files, label_table.
"""
