// The model's bytes, included by the assembler: no compiler has to read them. PUMICE_GGUF is the path.
#ifdef __APPLE__
#define SYMBOL(name) _##name
    .section __TEXT,__const
#else
#define SYMBOL(name) name
    .section .rodata.lahar_pumice, "a"
    .hidden lahar_pumice_begin
    .hidden lahar_pumice_end
#endif
    .global SYMBOL(lahar_pumice_begin)
    .global SYMBOL(lahar_pumice_end)
    .balign 64
SYMBOL(lahar_pumice_begin):
    .incbin PUMICE_GGUF
SYMBOL(lahar_pumice_end):
    .byte 0

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
