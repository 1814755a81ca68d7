#!/usr/bin/env bash
# Does training learn? Blocks from nothing to figures: simulate, prepare, train, evaluate, draw the loss curves.
#   tools/nightly_blocks.sh tiny OUT    config/train/blocks_tiny*.yaml: a CPU
#   tools/nightly_blocks.sh s-cpu OUT   the paper's S on few latents (blocks_cpu_vae.yaml, blocks_s_cpu.yaml): a CPU
#   tools/nightly_blocks.sh s OUT       the paper's S (blocks_vae.yaml, blocks_s.yaml): a GPU
# The same command goes on where it was interrupted. Not part of CI. Needs the extras train and blocks.
set -euo pipefail

size=${1:?tiny, s-cpu or s}
out=${2:?folder for data, runs and figures}
case $size in
    tiny) scenes=320 vae=blocks_tiny_vae denoiser=blocks_tiny ;;
    s-cpu) scenes=320 vae=blocks_cpu_vae denoiser=blocks_s_cpu ;;
    s) scenes=4000 vae=blocks_vae denoiser=blocks_s ;;
    *) echo "expected tiny, s-cpu or s, got $size" >&2; exit 2 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
trajforecast() { "$python" -m trajforecast_model.cli "$@"; }

# Seeds apart from each other: no scene is in two of these.
trajforecast simulate --suite blocks --episodes "$scenes" --rollouts 4 --out "$out/train"
trajforecast simulate --suite blocks --episodes 64 --rollouts 16 --seed 100000 --out "$out/held_out"
trajforecast simulate --suite blocks --episodes 64 --rollouts 16 --seed 200000 --primitives unseen --out "$out/unseen"
for data in train held_out unseen; do
    trajforecast prepare "$out/$data" --out "$out/${data}_shards"
done

trajforecast train vae --config "$root/config/train/$vae.yaml" \
    --set data.folder="$out/train_shards" --set out="$out/runs/$vae"
trajforecast train denoiser --config "$root/config/train/$denoiser.yaml" \
    --set data.folder="$out/train_shards" --set out="$out/runs/$denoiser" --set vae="$out/runs/$vae/checkpoint" \
    --set data.latent_cache="$out/${vae}_latents"

"$python" "$root/tools/loss_curves.py" "$out/runs/$vae" "$out/runs/$denoiser" --out "$out/loss_curves.png"
for data in held_out unseen; do
    trajforecast evaluate --protocol futures --checkpoint "$out/runs/$denoiser/checkpoint_best" --split all -k 1 2 4 8 \
        --data "$out/${data}_shards" --out "$out/futures_$data.json" --table "$out/futures_$data.md"
done
