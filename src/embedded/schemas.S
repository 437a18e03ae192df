/* Puts the schemas of configs/schemas into the read-only data of the binary. */
    .section .rodata
    .global llmq_job_schema_begin
    .global llmq_job_schema_end
    .global llmq_layer_bits_schema_begin
    .global llmq_layer_bits_schema_end
    .global llmq_dqprofile_schema_begin
    .global llmq_dqprofile_schema_end
    .global llmq_qreport_schema_begin
    .global llmq_qreport_schema_end
    .global llmq_w8a8_schema_begin
    .global llmq_w8a8_schema_end
llmq_job_schema_begin:
    .incbin "job.schema.json"
llmq_job_schema_end:
llmq_layer_bits_schema_begin:
    .incbin "layer-bits.schema.json"
llmq_layer_bits_schema_end:
llmq_dqprofile_schema_begin:
    .incbin "dqprofile.schema.json"
llmq_dqprofile_schema_end:
llmq_qreport_schema_begin:
    .incbin "qreport.schema.json"
llmq_qreport_schema_end:
llmq_w8a8_schema_begin:
    .incbin "w8a8-config.schema.json"
llmq_w8a8_schema_end:
    .section .note.GNU-stack,"",%progbits
