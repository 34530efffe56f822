"""Trains a small transformer to add, from a file of JSON Lines. It can be paused at any step, and goes on on another machine."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DataCollatorForLanguageModeling,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

import opsconsole

PAD = "[PAD]"
SIGNS = "0123456789+= "


class Slowly(TrainerCallback):  # type: ignore[misc]
    """Waits after each step, so that there is something to watch."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def on_step_end(self, *_: Any, **__: Any) -> None:
        time.sleep(self._seconds)


def main() -> None:
    options = parse()
    output = Path(os.environ.get("OPSCONSOLE_OUTPUT_PATH", "out"))
    set_seed(options.seed)

    vocabulary = {sign: number for number, sign in enumerate([PAD, *SIGNS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=PAD))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD)

    rows = load_dataset("json", data_files=str(options.data), split="train")
    rows = rows.map(lambda row: {"input_ids": fast.encode(row["text"])}, remove_columns=rows.column_names)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(vocabulary), n_positions=32, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
        )
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(output / "checkpoints"),
            max_steps=options.steps,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            logging_steps=10,
            save_steps=100,
            save_total_limit=2,
            seed=options.seed,
            use_cpu=not torch.cuda.is_available(),
            report_to=[],
        ),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(fast, mlm=False),
        processing_class=fast,
        callbacks=[opsconsole.TrainerCallback(), Slowly(options.sleep)],
    )
    trainer.train(resume_from_checkpoint=opsconsole.resume_from())
    trainer.save_model(str(output / "models" / "adder"))
    print(f"final loss {trainer.evaluate()['eval_loss']:.9f} after {trainer.state.global_step} steps")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).with_name("sums.jsonl"), help='one {"text": …} a line'
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds after each step")
    return parser.parse_args()


if __name__ == "__main__":
    main()
