"""Where live pictures go: one module a kind; `pipeline.live.sinks.sink` says what each can do."""
