"""`make token AGENT=ana`: prints a token of one of the stack's people, and nothing else."""

import sys
from datetime import UTC, datetime

import typer

from deploy.local.keys import NoStackError, StackKeys
from deploy.local.stack import Stack, StackError


def main(agent: str = typer.Argument(help="an id of agents.yaml: ana, ben, cleo, lea, adam")) -> None:
    """Print a token for AGENT, valid 12 hours, for the stack of this PORT and DATA_DIR."""
    try:
        token = issue(Stack.from_environment(), agent, datetime.now(UTC))
    except (StackError, NoStackError) as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    print(token)


def issue(stack: Stack, agent: str, now: datetime) -> str:
    """Return a token with the roles of `agents.yaml`; raises StackError or NoStackError."""
    people = stack.agents()
    if agent not in people:
        known = ", ".join(people)
        message = (
            f"no agent {agent!r} in {stack.agents_file}; there are: {known}"
            if agent
            else f"say whose token: make token AGENT=…; there are: {known}"
        )
        raise StackError(message)
    return StackKeys.load(stack.data_dir).token(agent, people[agent].roles, now)


if __name__ == "__main__":
    typer.run(main)
