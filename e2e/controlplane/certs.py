"""Keys and certificates by the openssl command: P-256 throughout, made in milliseconds.

One authority signs the serving certificate (API server, scheduler, controller manager,
fault proxy: all on 127.0.0.1) and the client certificates of made-up users.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

DAYS = "30"


class CertificateError(Exception):
    """The openssl command is missing or refused."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


def _openssl(*arguments: str) -> None:
    if shutil.which("openssl") is None:
        raise CertificateError("the openssl command is needed to make certificates, and is not on the PATH")
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CertificateError(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")


class Authority:
    """A certificate authority in a directory; made on first use."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = Pair(directory / "ca.crt", directory / "ca.key")
        self.service_accounts = Pair(directory / "sa.pub", directory / "sa.key")
        """Public and private key that sign service account tokens."""

    def make(self) -> None:
        """Make the authority and the service account keys."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._key(self.ca.key)
        subject = ("-subj", "/CN=muster-e2e-ca")
        constraints = ("-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        out = ("-out", str(self.ca.certificate))
        _openssl("req", "-x509", "-new", "-key", str(self.ca.key), "-days", DAYS, *subject, *constraints, *out)
        self._key(self.service_accounts.key)
        public = str(self.service_accounts.certificate)
        _openssl("pkey", "-in", str(self.service_accounts.key), "-pubout", "-out", public)

    def serving(self, name: str = "server") -> Pair:
        """Issue a serving certificate for loopback."""
        names = "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1"
        return self._issue(name, f"/CN={name}", (f"subjectAltName={names}", "extendedKeyUsage=serverAuth"))

    def client(self, name: str, user: str, groups: Iterable[str]) -> Pair:
        """Issue a client certificate: the common name is the user, each organisation a group."""
        subject = "".join(f"/O={_escaped(group)}" for group in groups) + f"/CN={_escaped(user)}"
        return self._issue(name, subject, ("extendedKeyUsage=clientAuth",))

    def _issue(self, name: str, subject: str, extensions: Sequence[str]) -> Pair:
        pair = Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        request, config = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        self._key(pair.key)
        config.write_text("\n".join(("basicConstraints=CA:FALSE", "keyUsage=digitalSignature", *extensions)) + "\n")
        _openssl("req", "-new", "-key", str(pair.key), "-subj", subject, "-out", str(request))
        signer = ("-CA", str(self.ca.certificate), "-CAkey", str(self.ca.key), "-CAcreateserial")
        extra = ("-days", DAYS, "-extfile", str(config), "-out", str(pair.certificate))
        _openssl("x509", "-req", "-in", str(request), *signer, *extra)
        return pair

    @staticmethod
    def _key(path: Path) -> None:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
        path.chmod(0o600)


def _escaped(text: str) -> str:
    """Escape what openssl's -subj takes as a separator."""
    return text.replace("\\", "\\\\").replace("/", "\\/").replace("+", "\\+")
