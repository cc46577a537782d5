"""x"""
import torch
def write_task(model, tokenizer, task, folder):
    """x"""
    head = model.heads[task]
    with torch.device("meta"):
        expected = set(type(head)(head.config).state_dict())
    head.save_pretrained(folder, state_dict={k: v.contiguous() for k, v in head.state_dict().items() if k in expected})
    tokenizer.save_pretrained(folder)
