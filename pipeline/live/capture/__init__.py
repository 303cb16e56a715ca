"""The sources of live frames and audio; `source` lists them."""
