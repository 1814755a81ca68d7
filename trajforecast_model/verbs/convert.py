"""`trajforecast convert`: other projects' checkpoints to ours."""

from trajforecast_model.files.outputs import ready_new_folder
from trajforecast_model.verbs.arguments import path


def add(verbs) -> None:
    parser = verbs.add_parser("convert", help="other projects' checkpoints to ours")
    sources = parser.add_subparsers(dest="source", required=True)
    whn = sources.add_parser("whn", help="official What-Happens-Next checkpoints")
    whn.add_argument("--denoiser", required=True, type=path)
    whn.add_argument("--vae", type=path, default=None, help="leave out for a model in track space")
    whn.add_argument("--out", required=True, type=path)
    whn.add_argument(
        "--release",
        default=None,
        metavar="NAME",
        help="which released model the files are of: libero-atm, libero-tramoe, kubric-s, kubric-b, kubric-l, physion, "
        "physics101, cityscapes-b or cityscapes-l",
    )
    whn.add_argument("--config", type=path, default=None, help="model YAML, for what neither weights nor release tell")
    _add_weights(whn)

    def run(args):
        from trajforecast_model.conversion.whn import convert_whn

        convert_whn(args.denoiser, args.vae, ready_new_folder("out", args.out), args.config, args.release, args.weights)

    whn.set_defaults(run=run)
    trajloom = sources.add_parser("trajloom", help="official TrajLoom checkpoints")
    trajloom.add_argument("--vae", required=True, type=path, help="trajloom_vae.pt")
    trajloom.add_argument("--generator", required=True, type=path, help="trajloom_generator.pt")
    trajloom.add_argument(
        "--visibility", type=path, default=None, help="visibility_predictor.pt; leave out to forecast no visibility"
    )
    trajloom.add_argument(
        "--latent-stats",
        type=path,
        default=None,
        metavar="FILE",
        help="JSON of the latents' means and standard deviations (default: those of the official VAE)",
    )
    trajloom.add_argument("--out", required=True, type=path)
    _add_weights(trajloom)

    def run_trajloom(args):
        from trajforecast_model.conversion.trajloom import convert_trajloom

        out = ready_new_folder("out", args.out)
        convert_trajloom(args.vae, args.generator, args.visibility, out, args.latent_stats, args.weights)

    trajloom.set_defaults(run=run_trajloom)
    atm = sources.add_parser("atm", help="ATM's released track transformers, as the baseline")
    atm.add_argument("--checkpoint", required=True, type=path, help="state dict, e.g. model_best.ckpt")
    atm.add_argument("--out", required=True, type=path)
    _add_weights(atm)

    def run_atm(args):
        from trajforecast_model.conversion.atm import convert_atm

        convert_atm(args.checkpoint, ready_new_folder("out", args.out), args.weights)

    atm.set_defaults(run=run_atm)
    amplify = sources.add_parser("amplify", help="AMPLIFY's released checkpoints, run by AMPLIFY's own code")
    amplify.add_argument("--checkpoint", required=True, type=path, help="a bundle, e.g. latest.pt")
    amplify.add_argument("--checkout", required=True, type=path, metavar="DIR", help="its source")
    amplify.add_argument("--sampling", default="argmax", help="of its codes: argmax, or topk for different samples")
    amplify.add_argument("--out", required=True, type=path)
    _add_weights(amplify)

    def run_amplify(args):
        from trajforecast_model.conversion.amplify import convert_amplify

        convert_amplify(args.checkpoint, args.checkout, args.sampling, ready_new_folder("out", args.out), args.weights)

    amplify.set_defaults(run=run_amplify)


def _add_weights(parser) -> None:
    parser.add_argument(
        "--weights",
        default=None,
        metavar="model|ema",
        help="where the file has several: the model, its moving average, or the name of an entry (default: the average "
        "where there is one)",
    )
