"""The sinks that live frames are sent to, one module for each kind; `outputs` lists them."""
