"""What `make up` prints when everything answers."""

import os

from deploy.local.stack import DEFAULT_PORT, Stack


def show(stack: Stack) -> None:
    """Print `ready`, the address, and the next three commands to try."""
    own = _own_settings(stack)
    customer = f"{stack.url}/identity/v1/customers?identifier=sms:%2B15551230001"
    token = f"$({own}make -s token AGENT=lea)"
    print("ready")
    print(stack.url)
    print("\nTry next, in another terminal:")
    print(f'  {own}make send CHANNEL=sms FROM=+15551230001 TEXT="Where is my parcel?"')
    print(f"  curl -H \"Authorization: Bearer {token}\" '{customer}'")
    print(f"  {own}make demo")
    print(f"\nLogs: {stack.data_dir / 'parley.log'}. Ctrl-C stops everything.", flush=True)


def _own_settings(stack: Stack) -> str:
    """Return the variables that the other commands need to find this stack."""
    settings = {"PORT": str(stack.port)} if stack.port != DEFAULT_PORT else {}
    settings |= {name: os.environ[name] for name in ("DATA_DIR",) if os.environ.get(name)}
    return "".join(f"{name}={value} " for name, value in settings.items())
