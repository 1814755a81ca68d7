"""Names and shapes of the official networks' weights, of any size."""


def attention(prefix: str, dim: int) -> dict[str, list[int]]:
    linears = {"q": [dim, dim], "kv": [2 * dim, dim], "proj": [dim, dim]}
    shapes = {f"{prefix}.{name}.weight": shape for name, shape in linears.items()}
    shapes |= {f"{prefix}.{name}.bias": shape[:1] for name, shape in linears.items()}
    return shapes | {f"{prefix}.{name}_norm.weight": [dim] for name in ("q", "k")}


def linear(prefix: str, dim_out: int, dim_in: int) -> dict[str, list[int]]:
    return {f"{prefix}.weight": [dim_out, dim_in], f"{prefix}.bias": [dim_out]}


def official_denoiser(
    dim, depth, frames, tokens, channels, patch, image_tokens, image_dim, text_dim=None, tracks=False
):
    channels_in = 130 if tracks else channels
    shapes = {"pos_embed": [1, tokens, dim], "temp_embed": [1, frames, dim], "frame_embed": [1, image_tokens, dim]}
    if tracks:
        shapes |= {"x_encoder.lff.w": [64, 2]}
        shapes |= linear("x_encoder.lff.mlp.0", 4 * dim, 128) | linear("x_encoder.lff.mlp.3", 128, 4 * dim)
    shapes |= {"x_embedder.proj.weight": [dim, channels_in, patch, patch], "x_embedder.proj.bias": [dim]}
    shapes |= linear("t_embedder.mlp.0", dim, 256) | linear("t_embedder.mlp.2", dim, dim)
    shapes |= linear("frame_proj", dim, image_dim)
    if text_dim:
        shapes |= linear("text_embeds_proj.fc1", 4 * dim, text_dim) | linear("text_embeds_proj.fc2", dim, 4 * dim)
    for i in range(depth):
        shapes |= attention(f"blocks.{i}.attn", dim) | attention(f"blocks.{i}.xattn", dim)
        shapes |= linear(f"blocks.{i}.mlp.fc1", 4 * dim, dim) | linear(f"blocks.{i}.mlp.fc2", dim, 4 * dim)
        shapes |= linear(f"blocks.{i}.adaLN_modulation.1", 7 * dim, dim)
    shapes |= linear("final_layer.linear", patch**2 * channels, dim)
    return shapes | linear("final_layer.adaLN_modulation.1", 2 * dim, dim)


def official_vae(dim, depth, frames, tokens, channels, patch, image_tokens, image_dim):
    shapes = {"pos_embed": [1, tokens, dim], "temp_embed": [1, frames, dim], "frame_embed": [1, image_tokens, dim]}
    shapes |= {"x_encoder.lff.w": [64, 2]}
    shapes |= linear("x_encoder.lff.mlp.0", 4 * dim, 128) | linear("x_encoder.lff.mlp.3", 128, 4 * dim)
    shapes |= {"x_embedder.proj.weight": [dim, 130, patch, patch], "x_embedder.proj.bias": [dim]}
    shapes |= linear("frame_proj", dim, image_dim)
    shapes |= linear("to_latents", 2 * channels, dim) | linear("from_latents", dim, channels)
    for side in ("encoder", "decoder"):
        for i in range(depth):
            block = f"{side}_blocks.{i}"
            shapes |= {f"{block}.gate_{gate}": [1, 1, dim] for gate in ("msa", "mxa", "mlp")}
            shapes |= {f"{block}.norm{n}.weight": [dim] for n in (1, 2, 3)}
            shapes |= attention(f"{block}.attn", dim) | attention(f"{block}.xattn", dim)
            shapes |= linear(f"{block}.mlp.fc1", 4 * dim, dim) | linear(f"{block}.mlp.fc2", dim, 4 * dim)
    return shapes | linear("final_layer.linear", patch**2 * 2, dim)
