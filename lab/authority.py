"""An authority of the lab's own, and the certificates it issues: openssl does the work."""

from __future__ import annotations

import ssl
from pathlib import Path

from lab.processes import run

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Authority:
    """Signs for as long as its folder is there.

    Args:
        folder: where its own certificate and key are, and what it issues.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.certificate = folder / "authority.pem"
        self._key = folder / "authority.key"
        if not self.certificate.exists():
            run(
                [
                    *("openssl", "req", "-x509", *_KEY, "-subj", "/CN=lab authority"),
                    *("-keyout", str(self._key), "-out", str(self.certificate)),
                    *("-addext", "basicConstraints=critical,CA:TRUE"),
                    *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
                ]
            )

    def issue(self, name: str, *addresses: str) -> tuple[Path, Path]:
        """Issue a certificate for a name and IP addresses; return its file and that of its key.

        One issued for the same name before is replaced in place.
        """
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        names = ",".join([f"DNS:{name}", *(f"IP:{address}" for address in addresses)])
        run(
            [
                *("openssl", "req", "-x509", "-CA", str(self.certificate), "-CAkey"),
                *(str(self._key), *_KEY, "-subj", f"/CN={name}"),
                *("-keyout", str(key), "-out", str(certificate)),
                *("-addext", f"subjectAltName={names}"),
                *("-addext", "basicConstraints=critical,CA:FALSE"),
            ]
        )
        key.chmod(0o600)
        return certificate, key

    def trusted(self) -> ssl.SSLContext:
        """Return what a client checks its certificates with."""
        return ssl.create_default_context(cafile=str(self.certificate))
