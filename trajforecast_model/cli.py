"""`trajforecast`: one program, one verb for each job, each in a module of its own (verbs/) that parses its arguments and calls
one function.

Errors of use (ValueError and OSError from the verb), of memory and of missing extras end with exit code 2 and one message.
TRAJFORECAST_DEBUG=1 shows the traceback instead.
"""

import argparse
import os
import signal
import sys

from trajforecast_model.verbs import (
    bench,
    compare,
    convert,
    evaluate,
    export,
    few_steps,
    finetune,
    labeler_eval,
    pack,
    predict,
    prepare,
    rollout,
    simulate,
    temperature,
    train,
    view,
)
from trajforecast_model.verbs.explanations import explanation

VERBS = (
    simulate,
    prepare,
    pack,
    train,
    finetune,
    predict,
    evaluate,
    rollout,
    few_steps,
    temperature,
    compare,
    view,
    labeler_eval,
    convert,
    export,
    bench,
)


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    try:
        return args.run(args) or 0
    except Exception as error:
        line = explanation(error)
        if line is None or os.environ.get("TRAJFORECAST_DEBUG"):
            raise
        print(f"trajforecast {args.verb}: error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interrupt:
        print(f"trajforecast {args.verb}: interrupted", file=sys.stderr)
        return 128 + (interrupt.args[0] if interrupt.args else signal.SIGINT)  # as shells count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="trajforecast", description="Dense point-track forecasting for robots.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
