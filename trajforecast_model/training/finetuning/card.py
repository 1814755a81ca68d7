"""The model card of a fine-tuned checkpoint: from what, on what, how long. Figures are for its owner to add."""

from pathlib import Path

from trajforecast_model.files.atomic import write_atomically
from trajforecast_model.training.finetuning.record import Record

_CARD = "README.md"
_EXPORTS = ("checkpoint", "checkpoint_best")


def write_cards(out: Path, record: Record) -> None:
    """Into the checkpoints of a run that are there, and the run's folder."""
    for name in _EXPORTS:
        if (out / name).is_dir():
            write_atomically(out / name / _CARD, _card(out, record, _step(out / name)).encode())
    if (out / _EXPORTS[0]).is_dir():
        write_atomically(out / _CARD, _card(out, record, _step(out / _EXPORTS[0])).encode())


def _step(export: Path) -> int:
    """Of checkpoints/step_00001000/export or checkpoints/best_00001000."""
    folder = export.resolve()
    folder = folder.parent if folder.name == "export" else folder
    return int(folder.name.rpartition("_")[2])


def _card(out: Path, record: Record, step: int) -> str:
    optimisation = record.config.optimisation
    told = "".join(f"- {line}\n" for line in record.told)
    return f"""# {out.resolve().name}

Fine-tuned from `{record.asked.source}` by `trajforecast finetune`.

- Data: {record.about_data}
- Steps: {step} of {optimisation.steps}, {optimisation.batch_size} windows each; {record.seconds / 60:.1f} minutes so far
- Learning rate: {optimisation.learning_rate:g}, {optimisation.decay}
{told}
All settings: `config.json` and `finetune.json` of the run's folder.

## Accuracy

Not measured yet: record episodes that the training does not see, `prepare` them, and

    trajforecast evaluate --checkpoint {out} --data HELD_OUT --split all --out report.json

## Licence and limits

Say here what holds for the data and the checkpoint that it came from. It was trained on the cameras, places and
instructions of this data; it was tried on no others.
"""
