"""Presets as folders to share: saved, loaded, and on Hugging Face; and the one that is shipped.

| in the folder | |
| --- | --- |
| `run.json` | preset, data and versions, without the places of data on the machine |
| `model.keras` | the model, without its optimizers |
| `search_embedder.keras` | the embedder that `index`, `search` and `export` take |
| `converter_dynamic.tflite` | the exported model, if the run has one |
| `README.md` | the model card: data, preset, scores, licence, limits |

It is a part of a run's folder, so what opens a run opens a preset too: `load_run`, and every
command that takes the folder of a run. The run's other networks (`embedder.keras`,
`upscaler_x*.keras`) are in it if the run has them.

A folder of somebody else is not trusted: Keras opens it with `safe_mode`, which refuses code in
`.keras` files, and nothing in it is a pickle.

`flow_64_rendered` comes with the package. Its weights are those that the presets `flow-*` start
from, so instead of a `model.keras` the file `training/start.npz` has them. `make` makes the rest.
"""
