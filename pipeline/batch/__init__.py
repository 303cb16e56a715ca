"""Many clips in one run: all are inspected and planned first; an interrupted batch is resumed by the next run.

    inputs -> jobs -> plan -> runner -> report

Start reading at `pipeline.batch.session`.
"""
