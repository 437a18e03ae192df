/* Puts the presets of configs/profiles into the read-only data of the binary. */
    .section .rodata
    .global llmq_attention_high_begin
    .global llmq_attention_high_end
    .global llmq_balanced_begin
    .global llmq_balanced_end
    .global llmq_compression_max_begin
    .global llmq_compression_max_end
llmq_attention_high_begin:
    .incbin "attention-high.dqprofile"
llmq_attention_high_end:
llmq_balanced_begin:
    .incbin "balanced.dqprofile"
llmq_balanced_end:
llmq_compression_max_begin:
    .incbin "compression-max.dqprofile"
llmq_compression_max_end:
    .section .note.GNU-stack,"",%progbits
