"""Connections to servers that are checked before FFmpeg opens them: addresses, logins, certificates, redirections."""
