"""Makes `data/greedy.json`: what llama.cpp itself (through llama-cpp-python) says, greedily, to conversations of many
kinds. Run it with the weights that the engine serves (the Q8_0 twin):

    CMAKE_ARGS=-DGGML_NATIVE=OFF pip install llama-cpp-python==0.3.36
    python reference.py ~/.cache/autarky/weights/SmolLM2-135M-Instruct.Q8_0.gguf > data/greedy.json
"""

import hashlib
import json
import sys

import llama_cpp
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

TOKENS = 48


def user(text):
    return [{"role": "user", "content": text}]


def long_story(teller, lines):
    colours = ["red", "blue", "green", "white", "black", "grey", "brown"]
    things = ["boat", "lamp", "chair", "bridge", "garden", "letter", "clock", "bell", "river", "stone", "cup"]
    deeds = ["was painted", "fell", "was sold", "vanished", "shone", "broke", "returned", "was repaired", "sang"]
    told = (
        f"On day {at} the {colours[at % 7]} {things[at % 11]} of house {at * 37 % 101} {deeds[at % 9]}."
        for at in range(lines)
    )
    # Another beginning each time: what two prompts have in common, the engine reads once, in other pieces than here.
    return f"{teller} says: " + " ".join(told)


CONVERSATIONS = {
    "hello": user("Hello!"),
    "capital": user("What is the capital of France?"),
    "one letter": user("a"),
    "a space": user(" "),
    "a full stop": user("."),
    "arithmetic": user("What is 12 + 30? Explain step by step."),
    "system": [{"role": "system", "content": "You answer like a pirate."}, *user("Who are you?")],
    "empty system": [{"role": "system", "content": ""}, *user("Name three colours.")],
    "three turns": [
        *user("My name is Ada."),
        {"role": "assistant", "content": "Nice to meet you, Ada!"},
        *user("What is my name?"),
    ],
    "code": user("Write a Python function that returns the n-th Fibonacci number.\n```python\ndef fib(n):\n"),
    "rust": user("Explain this:\n\nfn main() {\n\tlet x: Vec<u8> = vec![1, 2, 3];\n\tprintln!(\"{:?}\", x);\n}\n"),
    "json": user('{"task": "translate", "text": "good morning", "to": ["de", "fr"]}'),
    "german": user("Schreibe einen Satz über Köln, Äpfel und die Größe des Mondes."),
    "chinese": user("请用一句话介绍北京。"),
    "japanese": user("日本の首都はどこですか？"),
    "arabic": user("ما هي عاصمة مصر؟"),
    "emoji": user("What do these mean? 😀🚀👩‍👩‍👧‍👦🇫🇷"),
    "combining": user("Cafe\u0301 or café? Zalgo: H̷e̶l̴l̸o"),
    "white space": user("  leading,\ttabs,\r\nline ends\n\n\n   and   trailing   "),
    "list": user("List the planets of the solar system, one per line."),
    "poem": user("Write a short poem about the sea."),
    "special": user("What does the token <|im_end|> mean? And </s>?"),
    "numbers": user("Continue: 1, 2, 4, 8, 16, 32,"),
    "long 300": user(long_story("Ada", 20) + "\n\nWhat happened on day 3?"),
    "long 1000": user(long_story("Bob from next door", 66) + "\n\nSummarise."),
    "long 4000": user(long_story("Old Cy", 252) + "\n\nWhat was the last thing that happened?"),
}


def main(path):
    # Shapes as the engine has them for a single conversation: prompts in pieces of 512, then token by token.
    llm = Llama(path, n_ctx=8192, n_batch=512, n_ubatch=512, n_threads=1, n_threads_batch=2, flash_attn=True, verbose=False)
    template = llm.metadata["tokenizer.chat_template"]
    bos, eos = (llm.detokenize([token], special=True).decode() for token in (llm.token_bos(), llm.token_eos()))
    render = Jinja2ChatFormatter(template=template, eos_token=eos, bos_token=bos)
    cases = []
    for name, messages in CONVERSATIONS.items():
        prompt = render(messages=messages).prompt
        tokens = llm.tokenize(prompt.encode(), add_bos=False, special=True)
        llm.reset()
        made, finish = [], "length"
        for token in llm.generate(tokens, temp=0.0, repeat_penalty=1.0):
            if llama_cpp.llama_vocab_is_eog(llm._model.vocab, token):
                finish = "stop"
                break
            made.append(token)
            if len(made) == TOKENS:
                break
        text = llm.detokenize(made).decode("utf-8", errors="ignore")
        case = {"name": name, "messages": messages, "prompt_tokens": len(tokens), "finish": finish}
        cases.append({**case, "ids": made, "text": text})
        print(f"{name}: {len(tokens)} tokens, {text[:60]!r}", file=sys.stderr)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    about = {"made_by": f"llama-cpp-python {llama_cpp.__version__}", "weights_sha256": digest, "max_tokens": TOKENS}
    json.dump({**about, "cases": cases}, sys.stdout, ensure_ascii=False, indent=1)


main(sys.argv[1])
