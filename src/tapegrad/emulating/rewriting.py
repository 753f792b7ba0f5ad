"""Rewrites what CUDA adds to C++, line for line: launches, the bodies of kernels, and shared
variables (kernels/emulate/cuda/running.h says to what)."""

from __future__ import annotations

from .tokens import Tokens

_STORAGE = ("extern", "static", "volatile", "const")
_ALIGNMENTS = ("alignas", "__align__", "__builtin_align__")
_OF_KERNELS = ("cudaLaunchKernel", "cudaLaunchCooperativeKernel", "cudaFuncSetAttribute")


Aliases = dict[str, set[str]]  # the macros that stand for a word


def no_aliases() -> Aliases:
    return {"__global__": set(), "__shared__": set()}


def rewrite(text: str, aliases: Aliases | None = None) -> str:
    """The same program in C++, on the same lines. aliases: those of the files that it includes, to
    which its own are added."""
    tokens = Tokens(text)
    texts = tokens.texts
    aliases = no_aliases() if aliases is None else aliases
    _add_aliases(tokens, aliases)
    ends = _ends_of_directives(tokens)
    local = _is_local(tokens)
    for i in range(len(tokens)):
        if not texts[i] or tokens.kinds[i] in ("space", "string"):
            continue
        if texts[i] == "<<<":
            _rewrite_launch(tokens, i)
        elif tokens.is_word(i):
            word = texts[i]
            if word == "__global__" or word in aliases["__global__"]:
                _rewrite_kernel(tokens, i, ends.get(i, len(tokens)))
            elif word == "__shared__" or word in aliases["__shared__"]:
                _rewrite_shared(tokens, i, local[i])
            elif word == "__noinline__" and tokens[tokens.before(i)] != "(":
                texts[i] = "__attribute__((noinline))"
            elif word in _OF_KERNELS:
                _drop_cast(tokens, tokens.after(i))
    return "".join(texts)


def _add_aliases(tokens: Tokens, aliases: Aliases) -> None:
    """The macros that only stand for CUDA's words, such as ``#define KERNEL __global__ void``; also
    by way of others, and with parameters or bounds where a body follows."""
    for line in tokens.directives():
        words = [i for i in line if tokens.is_word(i)]
        if len(words) < 3 or tokens[words[0]] != "define":
            continue
        body = {tokens[i] for i in line if i > words[1] and tokens.kinds[i] != "space"}
        for name, names in aliases.items():
            others = {"{", ";"} if name == "__global__" else {"(", "{", ";"}
            if {name, *names} & body and not others & body:
                names.add(tokens[words[1]])


def _ends_of_directives(tokens: Tokens) -> dict[int, int]:
    return {i: line.stop for line in tokens.directives() for i in line}


def _is_local(tokens: Tokens) -> list[bool]:
    """For each token whether it is within a function."""
    local, stack = [], [False]
    for i in range(len(tokens)):
        if tokens.kinds[i] == "mark" and tokens[i] == "{":
            stack.append(stack[-1] or not _opens_scope(tokens, i))
        elif tokens.kinds[i] == "mark" and tokens[i] == "}" and len(stack) > 1:
            stack.pop()
        local.append(stack[-1])
    return local


def _opens_scope(tokens: Tokens, brace: int) -> bool:
    """Whether a brace opens a namespace, class or linkage."""
    i = tokens.before(brace)
    while i >= 0 and tokens[i] not in (";", "}", "{", ")"):
        if tokens[i] in ("namespace", "struct", "class", "union", "enum", "extern"):
            return True
        i = tokens.before(i)
    return False


def _rewrite_launch(tokens: Tokens, at: int) -> None:
    texts = tokens.texts
    end = _end_of_configuration(tokens, at)
    first = _start_of_callee(tokens, at)
    arguments = tokens.after(end)
    if end < 0 or first < 0 or tokens[arguments] != "(":
        return
    close = tokens.closing(arguments)
    configuration = "".join(texts[at + 1 : end - 2])
    callee = "".join(texts[first:at])
    texts[first] = (
        f"{'(' if close >= 0 else ''}::emulate::cuda::configure({configuration}), {callee}"
    )
    for i in range(first + 1, end + 1):
        texts[i] = ""
    if close >= 0:
        texts[close] += ")"


def _end_of_configuration(tokens: Tokens, at: int) -> int:
    """The last of the three marks that end it."""
    depth, i = 0, at + 1
    while i < len(tokens):
        if tokens.kinds[i] == "mark":
            if tokens[i] in ("(", "[", "{"):
                depth += 1
            elif tokens[i] in (")", "]", "}"):
                depth -= 1
            elif depth == 0 and tokens[i] == tokens[i + 1] == tokens[i + 2] == ">":
                while tokens[i + 3] == ">":  # of a template among the arguments
                    i += 1
                return i + 2
            if depth < 0:
                return -1
        i += 1
    return -1


def _start_of_callee(tokens: Tokens, at: int) -> int:
    i = _before_brackets(tokens, tokens.before(at))
    if tokens[i] == ")":
        return tokens.opening(i)
    if not tokens.is_word(i):
        return -1
    while True:
        before = tokens.before(i)
        if tokens[before] == "template":
            before = tokens.before(before)
        if tokens[before] not in ("::", ".", "->"):
            return i
        i = _before_brackets(tokens, tokens.before(before))
        if not tokens.is_word(i):
            return before


def _before_brackets(tokens: Tokens, i: int) -> int:
    """Steps over the arguments of a template, and indices."""
    while tokens[i] in (">", "]"):
        i = tokens.before(tokens.opening(i))
    return i


def _rewrite_kernel(tokens: Tokens, at: int, end: int) -> None:
    """Wraps the body, if this is a definition."""
    depth = 0
    for i in range(at, end):
        if tokens.kinds[i] != "mark":
            continue
        if tokens[i] in ("(", "["):
            depth += 1
        elif tokens[i] in (")", "]"):
            depth -= 1
        elif depth == 0 and tokens[i] == ";":
            return
        elif depth == 0 and tokens[i] == "{":
            close = tokens.closing(i)
            if close >= 0:
                tokens.texts[i] += " ::emulate::cuda::run(__func__, [=]() mutable {"
                tokens.texts[close] = "});" + tokens.texts[close]
            return


def _rewrite_shared(tokens: Tokens, at: int, is_local: bool) -> None:
    texts = tokens.texts
    start, is_extern = at, False
    while tokens[tokens.before(start)] in _STORAGE:
        start = tokens.before(start)
    end = _end_of_statement(tokens, at)
    if end < 0:  # a parameter
        texts[at] = ""
        return
    i = start
    while i < end:
        is_extern = is_extern or texts[i] == "extern"
        if i == at or texts[i] in ("extern", "static"):
            texts[i] = ""
        elif texts[i] in _ALIGNMENTS:
            close = tokens.closing(tokens.after(i))
            for j in range(i, close + 1):
                texts[j] = "\n" * texts[j].count("\n")
        i += 1
    names = _declared(tokens, at + 1, end)
    if not is_local and not is_extern:
        texts[start] = "static " + texts[start]
        return
    for index in names:
        texts[index] += "_tapegrad_type"
    texts[start] = "typedef " + texts[start]
    for name in (texts[index].removesuffix("_tapegrad_type") for index in names):
        kind = f"{name}_tapegrad_type"
        if is_extern:
            place = f"*reinterpret_cast<{kind}*>(::emulate::dynamic_shared_memory())"
            texts[end] += f" {'' if is_local else 'static '}auto& {name} = {place};"
        else:
            texts[end] += (
                f' static ::emulate::SharedArray {name}_tapegrad_array("{name}"); '
                f"auto& {name} = ::emulate::shared_array<{kind}>({name}_tapegrad_array);"
            )


def _end_of_statement(tokens: Tokens, at: int) -> int:
    depth = 0
    for i in range(at, len(tokens)):
        if tokens.kinds[i] != "mark":
            continue
        if tokens[i] in ("(", "[", "{"):
            depth += 1
        elif tokens[i] in (")", "]", "}"):
            depth -= 1
            if depth < 0:
                return -1
        elif depth == 0 and tokens[i] == ";":
            return i
    return -1


def _declared(tokens: Tokens, start: int, end: int) -> list[int]:
    """The names that a declaration declares: of each part between commas the last word outside of
    brackets."""
    names, last, depth, angles = [], -1, 0, 0
    for i in range(start, end):
        text = tokens[i]
        if tokens.is_word(i):
            if (depth == 0 and angles == 0) or last < 0:
                last = i
        elif tokens.kinds[i] == "mark":
            if text in ("(", "[", "{"):
                depth += 1
            elif text in (")", "]", "}"):
                depth -= 1
            elif depth == 0 and text in ("<", ">"):
                angles += 1 if text == "<" else -1
            elif depth == 0 and angles == 0 and text == ",":
                names.append(last)
                last = -1
    return [*names, last] if last >= 0 else names


def _drop_cast(tokens: Tokens, bracket: int) -> None:
    """``f((void*)kernel, ...``: the kernel itself, which has types."""
    first = start = tokens.after(bracket)
    if tokens[first] == "reinterpret_cast":
        start = tokens.after(first)
    close = next((i for i in range(start, len(tokens)) if tokens[i] in (")", ">")), -1)
    if tokens[bracket] != "(" or tokens[start] + tokens[close] not in ("()", "<>"):
        return
    cast = "".join(tokens.texts[start + 1 : close]).split()
    if " ".join(cast).replace(" *", "*") in ("void*", "const void*", "void const*"):
        for i in range(first, close + 1):
            tokens.texts[i] = ""
