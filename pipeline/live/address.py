"""How an address of the net is shown: without anything that may be secret."""

import re

# Where a host's name ends. A password should have these written as %2F, %3F and %23, but often has not.
END = re.compile(r"[/?#]")
HOST = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:\d*)?")


def shown(url: str) -> str:
    """Scheme, host and port of ``url``: names, passwords, paths (where stream keys are) and queries are left out.

    Where it cannot be told which of its parts is the host, that is ``...``. Never raises.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return END.split(url.rpartition("@")[2])[0]
    usual = END.split(rest)[0].rpartition("@")[2]
    behind_last = END.split(rest.rpartition("@")[2])[0]
    if usual != behind_last:
        # An @ behind the first slash: of a password that has the slash in it, or of the path.
        return f"{scheme}://{'...' if HOST.fullmatch(usual) else behind_last}"
    return f"{scheme}://{usual}"
