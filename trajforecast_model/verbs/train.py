"""`trajforecast train`: the networks and the baselines."""

from trajforecast_model.verbs.arguments import path

_STAGES = (
    *("vae", "denoiser", "student", "visibility", "policy", "atm", "track2act"),
    *("trajloom_vae", "trajloom", "trajloom_visibility"),
)


def add(verbs) -> None:
    parser = verbs.add_parser(
        "train",
        help="train the track VAE, the denoiser, a few-step student of one, its visibility head, a policy, TrajLoom, or a baseline",
    )
    parser.add_argument("stage", choices=_STAGES)
    parser.add_argument("--config", required=True, type=path, help="YAML, see config/train/")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change one value of the config")

    def run(args):
        from trajforecast_model.training.run import train

        train(args.stage, args.config, args.set)

    parser.set_defaults(run=run)
