"""Where live pictures go: one module a kind; `pipeline.live.sink` says what each can do."""
