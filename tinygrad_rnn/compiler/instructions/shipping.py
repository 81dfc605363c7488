# mypy: disable-error-code="no-untyped-call"
"""The instructions as they are shipped: ``python -m tinygrad_rnn.compiler.instructions.shipping`` makes them anew.

Numba says each instruction in LLVM's language, for no processor in particular. Here its functions are put into one,
which neither counts references nor can raise, and all that is of a newer LLVM or of this machine is taken out of the
text. That nothing of Numba's is left to be called is checked.
"""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path
from typing import Any

#: before Numba is imported: nothing for this processor, nothing optimised yet
_PLAIN = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "0"}
#: arrays at an address own nothing, so there is nothing to count
_UNCOUNTED = "define void @NRT_incref(ptr %x) { ret void }\ndefine void @NRT_decref(ptr %x) { ret void }"
#: what an instruction may call: LLVM's own, the C library's, BLAS
_KNOWN = re.compile(r"llvm\.\w+[.\w]*|malloc|free|blas_[sd]gem[mv]|(pow|sqrt|tanh|log1p)f?")
#: what the C library's functions of numbers are, or calls of them would not become instructions of the processor
_PURE = "nounwind willreturn memory(none)"


def text(name: str, real: str) -> str:
    """An instruction in LLVM's language."""
    import llvmlite.binding as llvm

    from ..machine_code import symbol_of
    from . import blas
    from .by_numba import prepared

    blas.chosen()
    made, _ = prepared(name, real)
    result = made._compile_uncached()
    module = result.library._final_module.clone()
    for library in _all_below(result.library):
        linked = library._get_module_for_linking().clone()
        for function in linked.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"
        module.link_in(linked)
    module.link_in(llvm.parse_assembly(_UNCOUNTED))
    entry = result.fndesc.llvm_cfunc_wrapper_name
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != entry:
            each.linkage = "internal"
    module = llvm.parse_assembly(str(module).replace("noinline", "nounwind"))
    module.get_function(entry).name = symbol_of(name, real)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = options.loop_interleaving = False
    options.inlining_threshold = 10_000
    target = llvm.Target.from_default_triple().create_target_machine(cpu="generic", features="", opt=2)
    builder = llvm.create_pass_builder(target, options)
    passes: Any = builder.getModulePassManager()
    passes.add_strip_symbols_pass()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)
    cleaned = _without_particulars(str(module))
    llvm.parse_assembly(cleaned).verify()
    called = set(re.findall(r"^declare .*?@([\w.]+)\(", cleaned, re.MULTILINE))
    strange = sorted(each for each in called if not _KNOWN.fullmatch(each))
    if strange:
        raise AssertionError(f"{name} for {real or 'all'} calls {', '.join(strange)}, which is only there with Numba")
    return cleaned


def _all_below(library: Any) -> set[Any]:
    found: set[Any] = set()
    pending = list(library._linking_libraries)
    while pending:
        each = pending.pop()
        if each not in found:
            found.add(each)
            pending.extend(each._linking_libraries)
    return found


def _without_particulars(text: str) -> str:
    """Without the processor's name, attributes, which LLVM finds again, and what only says where code came from.

    Nor do lifetimes of variables stay: LLVM 20 says them otherwise than LLVM 22, and ends the process over it.
    """
    text = re.sub(r"^.*@llvm\.lifetime\..*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(target |source_filename|; |attributes |!).*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r",? ![\w.]+ !\d+| #\d+(?=$| |,)| local_unnamed_addr| unnamed_addr", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b(captures\(\w+\)|noundef|nonnull|noalias|nocapture|writeonly|readonly|immarg) ?", "", text)
    text = re.sub(r"^(declare \w+ @(?!llvm|malloc|free|blas_).*)$", rf"\1 {_PURE}", text, flags=re.MULTILINE)
    text = re.sub(r" +; preds = .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{2,}", "\n\n", text).strip() + "\n"


def main() -> None:
    """Write the archive."""
    os.environ.update(_PLAIN)
    from ..machine_code import SHIPPED, sources, symbol_of
    from .by_numba import every

    write(SHIPPED, {f"{symbol_of(name, real)}.ll": text(name, real) for name, real in every()}, sources())


def write(path: Path, texts: dict[str, str], comment: str) -> None:
    """An archive that is the same, byte for byte, if what is in it is the same."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(texts.items()):
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
        archive.comment = comment.encode()


if __name__ == "__main__":
    main()
