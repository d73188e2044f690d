# PYTHON_ARGCOMPLETE_OK
"""``python -m thousandeyes_provider``."""

from __future__ import annotations

from thousandeyes_provider.cli.main import main

if __name__ == "__main__":
    main()
