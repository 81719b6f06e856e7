"""Draws with diffusers what a settings file asks for; check-in-diffusers.ts writes it and compares the pictures.

    python check_in_diffusers.py SETTINGS.json

SETTINGS: {"model": diffusers folder, "lora": file, "prompts": [...], "strengths": [...], "seed", "steps", "cfg",
"size", "samplers": ["ddim", "dpmpp_2m"], "out": folder}. Needs torch, diffusers, transformers, peft. Writes
OUT/SAMPLER-PROMPT-STRENGTH.png with the numbers of prompt and strength, and the libraries' versions to
OUT/versions.json.
"""

import json
import pathlib
import sys

import diffusers
import peft
import torch
import transformers

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(settings["out"])
out.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(int(settings.get("threads", 1)))

pipe = diffusers.StableDiffusionPipeline.from_pretrained(
    settings["model"], torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
)
pipe.set_progress_bar_config(disable=True)

# The noise schedule is the model's own; the rest as lorikeet documents its samplers.
common = {"timestep_spacing": "leading", "steps_offset": 1}
samplers = {
    "ddim": lambda config: diffusers.DDIMScheduler.from_config(
        config, clip_sample=False, set_alpha_to_one=False, **common
    ),
    "dpmpp_2m": lambda config: diffusers.DPMSolverMultistepScheduler.from_config(
        config, algorithm_type="dpmsolver++", solver_order=2, use_karras_sigmas=False, **common
    ),
}


def lora_on_network(strength):
    """The LoRA at this strength on every network that it has weights for; off at 0, as without it."""
    pipe.unload_lora_weights()
    if strength != 0:
        file = pathlib.Path(settings["lora"])
        pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name="checked")
        pipe.set_adapters("checked", strength)


for s, strength in enumerate(settings["strengths"]):
    lora_on_network(strength)
    for sampler in settings["samplers"]:
        pipe.scheduler = samplers[sampler](pipe.scheduler.config)
        for p, prompt in enumerate(settings["prompts"]):
            picture = pipe(
                prompt,
                num_inference_steps=settings["steps"],
                guidance_scale=settings["cfg"],
                height=settings["size"],
                width=settings["size"],
                generator=torch.Generator("cpu").manual_seed(settings["seed"] + p),
            ).images[0]
            picture.save(out / f"{sampler}-{p}-{s}.png")

versions = {module.__name__: module.__version__ for module in (diffusers, peft, torch, transformers)}
(out / "versions.json").write_text(json.dumps(versions, indent=2))
