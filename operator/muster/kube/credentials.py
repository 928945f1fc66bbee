"""Where the API server is and who we are there: kubeconfig or service account, through the `kubernetes` package.

The only module that imports it. Everything it does blocks (files, exec plugins), so it runs in a thread. Order of
sources: an explicit path or context, $KUBECONFIG, the pod's service account, ~/.kube/config.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kubernetes.client import Configuration
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import (
    SERVICE_CERT_FILENAME,
    SERVICE_HOST_ENV_NAME,
    SERVICE_TOKEN_FILENAME,
    InClusterConfigLoader,
)
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from muster.kube.transport import Access

log = logging.getLogger(__name__)

# The package's own annotations are partial.
_Merger: Any = KubeConfigMerger
_FileLoader: Any = KubeConfigLoader
_PodLoader: Any = InClusterConfigLoader

_LOOK_AGAIN = 60.0
"""Seconds between looks at whether a token is about to expire; service account tokens are re-read this often."""
_NOT_SOONER = 5.0
"""Seconds between two forced renewals, so that a server that always answers 401 does not run a plugin all the time."""


class ConfigurationError(Exception):
    """There is no usable way to the API server; the message says what is wrong, where, and how to mend it."""


class KubeCredentials:
    """Access by kubeconfig or service account, kept fresh.

    Nothing is read before the first use; `current` then raises ConfigurationError if it cannot work. A later failure to
    renew is logged and the old access kept: the server's 401 will say so if it matters. The clock is monotonic, in
    seconds.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        environ: Mapping[str, str] = os.environ,
        token_file: str = SERVICE_TOKEN_FILENAME,
        ca_file: str = SERVICE_CERT_FILENAME,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._environ = environ
        self._token_file = token_file
        self._ca_file = ca_file
        self._clock = clock
        self._access: Access | None = None
        self._source: _Source | None = None
        self._looked = float("-inf")
        self._renewed = float("-inf")
        self._tls: tuple[bytes, ssl.SSLContext] | None = None
        self._busy = asyncio.Lock()

    async def current(self) -> Access:
        """The access to use now; looks once a minute whether it is about to expire."""
        access = self._access
        if access is not None and self._clock() - self._looked < _LOOK_AGAIN:
            return access
        async with self._busy:
            if self._access is None:
                self._access = await asyncio.to_thread(self._load)
                self._looked = self._clock()
            elif self._clock() - self._looked >= _LOOK_AGAIN:
                self._looked = self._clock()
                self._access = await self._attempt(self._look, self._access)
            return self._access

    async def refresh(self, stale: Access) -> Access:
        """After a 401: read everything again (runs an exec plugin). Gives `stale` itself if nothing has changed."""
        async with self._busy:
            if self._access is not None and self._access is not stale:
                return self._access
            if self._clock() - self._renewed < _NOT_SOONER:
                return stale
            self._renewed = self._clock()
            self._access = await self._attempt(self._load, stale)
            return self._access

    async def namespace(self) -> str:
        """The namespace that the context, or the pod's service account, works in; empty if neither names one. Raises
        ConfigurationError."""
        await self.current()
        return self._source.namespace if self._source is not None else ""

    async def _attempt(self, load: Callable[[], Access], held: Access) -> Access:
        try:
            access = await asyncio.to_thread(load)
        except ConfigurationError as error:
            log.warning("credentials not renewed, the old ones stay in use: %s", error)
            return held
        return held if access == held else access

    # --- in a thread ---

    def _load(self) -> Access:
        self._source = _Source.find(self._kubeconfig, self._context, self._environ, self._token_file, self._ca_file)
        return self._made(self._source)

    def _look(self) -> Access:
        source = self._source
        if source is None or source.reread:
            return self._load()
        return self._made(source)

    def _made(self, source: _Source) -> Access:
        configuration = source.configuration
        try:
            token = configuration.get_api_key_with_prefix("BearerToken")  # runs the package's refresh hook
            headers = {"Authorization": " ".join(token.split())} if token else {}
            return Access(
                str(configuration.host), headers, self._context_of(configuration), configuration.tls_server_name
            )
        except (ConfigException, OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigurationError(f"{source.where}: {error}. {source.remedy}") from error

    def _context_of(self, configuration: Any) -> ssl.SSLContext | None:
        """The TLS context, the same one as long as the files say the same: connections are pooled by it."""
        if not str(configuration.host).startswith("https"):
            return None
        digest = hashlib.sha256(repr((configuration.verify_ssl, configuration.assert_hostname)).encode())
        for file in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
            digest.update(b"\0" + (Path(file).read_bytes() if file else b""))
        if self._tls is not None and self._tls[0] == digest.digest():
            return self._tls[1]
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
        if not configuration.verify_ssl:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif configuration.assert_hostname is False:
            context.check_hostname = False
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file or None)
        self._tls = (digest.digest(), context)
        return context


class _Source:
    """A configuration as read, where it came from, and what to do if it is at fault."""

    def __init__(
        self, configuration: Any, where: str, remedy: str, *, namespace: str = "", reread: bool = False
    ) -> None:
        self.configuration = configuration
        self.where = where
        self.remedy = remedy
        self.reread = reread
        """Read the whole again at each look: the package's hook would not notice a changed file."""
        self.namespace = namespace

    @classmethod
    def find(
        cls, kubeconfig: str | None, context: str | None, environ: Mapping[str, str], token_file: str, ca_file: str
    ) -> _Source:
        if kubeconfig is not None:
            return cls.of_file(kubeconfig, context, f"the kubeconfig {kubeconfig}")
        named = environ.get("KUBECONFIG", "")
        if named:
            return cls.of_file(named, context, f"the kubeconfig {named} (from $KUBECONFIG)")
        if context is None and environ.get(SERVICE_HOST_ENV_NAME):
            return cls.of_pod(environ, token_file, ca_file)
        home = str(Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config")
        return cls.of_file(home, context, f"the kubeconfig {home} (the default: neither $KUBECONFIG nor a pod)")

    @classmethod
    def of_pod(cls, environ: Mapping[str, str], token_file: str, ca_file: str) -> _Source:
        configuration = Configuration()
        where = f"the pod's service account ({token_file})"
        remedy = (
            "Set automountServiceAccountToken and a serviceAccountName on the operator's pod, or name a kubeconfig."
        )
        try:
            _PodLoader(token_filename=token_file, cert_filename=ca_file, environ=environ).load_and_set(configuration)
        except (ConfigException, OSError) as error:
            raise ConfigurationError(f"{where}: {error} {remedy}") from error
        namespace = ""
        with suppress(OSError):  # Kubernetes mounts it beside the token
            namespace = Path(token_file).with_name("namespace").read_text().strip()
        return cls(configuration, where, remedy, namespace=namespace)

    @classmethod
    def of_file(cls, file: str, context: str | None, where: str) -> _Source:
        remedy = (
            "Check it with `kubectl --kubeconfig ... config view`, or name another with --kubeconfig or $KUBECONFIG."
        )
        configuration = Configuration()
        try:
            merged = _Merger(file).config
            if merged is None:
                raise ConfigurationError(f"{where} does not exist. {remedy}")
            loader = _FileLoader(config_dict=merged, active_context=context)
            loader.load_and_set(configuration)
        except ConfigurationError:
            raise
        except Exception as error:  # the package lets YAML, key and type errors of a malformed file through
            raise ConfigurationError(f"{where}: {str(error) or type(error).__name__}. {remedy}") from error
        user = loader._user  # the package offers no other way to see what kind of user it is
        asks_plugin = user is not None and "exec" in user
        # The package only logs a plugin's failure and would go on without credentials.
        if asks_plugin and not configuration.api_key and not configuration.cert_file:
            command = user["exec"].safe_get("command")
            raise ConfigurationError(
                f"{where}: the credential plugin `{command}` gave no credentials (its error is logged above). "
                f"Run it by hand, or log in to the cloud again."
            )
        reread = user is not None and not asks_plugin and "auth-provider" not in user
        chosen = loader.current_context.get("context")
        namespace = str((chosen.get("namespace") if isinstance(chosen, Mapping) else None) or "")
        return cls(configuration, where, remedy, namespace=namespace, reread=reread)
