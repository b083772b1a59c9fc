"""`spiccato devices`: its options."""

from spiccato.options import JsonOption


def devices(as_json: JsonOption = False) -> None:
    """List the microphones of this machine.

    **Examples**

    - `spiccato devices`
    - `spiccato devices --json | jq -r .name`
    """
    from spiccato import devices as listing
    from spiccato.trouble import told

    with told():
        listing.run(as_json)
