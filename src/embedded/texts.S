/* Puts the texts of configs/text into the read-only data of the binary. */
    .section .rodata
    .global llmq_calibration_begin
    .global llmq_calibration_end
    .global llmq_evaluation_begin
    .global llmq_evaluation_end
    .global llmq_prompts_begin
    .global llmq_prompts_end
llmq_calibration_begin:
    .incbin "calibration.txt"
llmq_calibration_end:
llmq_evaluation_begin:
    .incbin "evaluation.txt"
llmq_evaluation_end:
llmq_prompts_begin:
    .incbin "prompts.txt"
llmq_prompts_end:
    .section .note.GNU-stack,"",%progbits
