"""Many clips in one go: planned as a whole, painted one after another, gone on with after whatever happens.

    inputs -> jobs -> plan -> runner -> report

`run` starts here: `pipeline.batch.session`.
"""
