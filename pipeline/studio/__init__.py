"""A web page that stylizes the camera or a clip of whoever opens it.

    the browser's camera -> live/: viewers take turns on one network -> the page
    a clip               -> render/: one job after another, each a run of `flowbrush video` -> download

The network and the engines are those of `pipeline.live` and `pipeline.run`. Start reading at `app`.
"""
