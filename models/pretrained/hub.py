"""timm's weights, as the Hugging Face hub keeps them.

Flows in: a repository's name. Flows out: the file of its weights, from the cache or over the network.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from models.bundle.config import WEIGHTS
from pipelines.errors import ServiceError


@dataclass(frozen=True)
class Hub:
    """Where timm's weights are fetched from.

    Args:
        endpoint: URL; the Hugging Face hub's own client knows the usual one.
        cache: folder; that of the client if not given.
    """

    endpoint: str | None = None
    cache: Path | None = None

    def fetch(self, repository: str) -> Path:
        """The weights of a repository, from the cache or over the network.

        Raises:
            ServiceError: they are not in the cache, and the hub does not answer or does not have them.
        """
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

        found = try_to_load_from_cache(repository, WEIGHTS, cache_dir=self.cache)
        if isinstance(found, str):
            return Path(found)
        try:
            _knock(self.endpoint or constants.ENDPOINT)
            return Path(hf_hub_download(repository, WEIGHTS, cache_dir=self.cache, endpoint=self.endpoint, token=False))
        except Exception as error:  # the client raises what its HTTP library, its lock or its disk raises
            raise ServiceError(
                f"weights {repository} are not in the cache, and the hub does not give them ({type(error).__name__})",
                where="pretrained",
                hint=f"Where there is internet, run `hf download {repository} {WEIGHTS} --local-dir weights`; "
                f"then bring the file here and set pretrained to weights/{WEIGHTS}.",
            ) from None


def _knock(endpoint: str) -> None:
    """Find out at once that nobody is there: the hub's client would try for half a minute."""
    if getproxies():
        return
    parts = urlsplit(endpoint)
    address = (parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443))
    socket.create_connection(address, timeout=10).close()
