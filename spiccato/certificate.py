"""Until when a TLS certificate is good. Knows the ssl module, which reads a certificate only from one that was shown.

So it is shown: a handshake between two ends in memory, of which one trusts this very certificate.
"""

import ssl
from pathlib import Path


def good_until(cert: Path, key: Path) -> float:
    """Seconds since 1970. Raises ssl.SSLCertVerificationError where it has ended, or not begun; other ssl.SSLError or
    OSError where the files cannot be used."""
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(cert, key)
    looks = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    looks.check_hostname = False
    looks.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not lead to an authority that this machine knows
    looks.load_verify_locations(cert)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = looks.wrap_bio(to_client, to_server)
    server = shows.wrap_bio(to_server, to_client, server_side=True)
    for end in (client, server, client):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    shown = client.getpeercert()
    assert shown is not None
    return float(ssl.cert_time_to_seconds(str(shown["notAfter"])))
