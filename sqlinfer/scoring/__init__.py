"""Many files, one job: each file of rows becomes a file of answers, by one version of one model.

files      which files there are, and what each is called in the output folder
folder     the output folder: what is done already, by what, and drafts that are no one's answer yet
rows       the SQL of a file's rows, with the types of the model
job        what is asked of every file, and the SQL that it is in
workers    processes that share the files
"""
