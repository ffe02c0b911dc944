"""`python -m tests.golden` (`make golden`): write the losses anew. Say in the commit why they changed."""

from __future__ import annotations

from tests.golden.losses import FILE, here, losses, write

if __name__ == "__main__":
    write({"made_on": here(), "losses": losses()})
    print(f"wrote {FILE}")
