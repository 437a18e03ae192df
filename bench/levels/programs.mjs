// Running programs: output on success, an error with the last lines otherwise.
import {spawnSync} from "node:child_process";

export const threads = process.env.THREADS ?? "1";

/** Runs a program and returns {output, seconds}; throws an error with `code` unless it ends with 0. */
export function run(program, args) {
    const started = process.hrtime.bigint();
    const {status, signal, stdout, stderr, error} = spawnSync(program, args, {encoding: "utf8", maxBuffer: 1 << 28});
    if (error) throw error;
    const output = stdout + stderr;
    if (status !== 0) {
        const last = output.trim().split("\n").slice(-3).join(" | ");
        throw Object.assign(new Error(`${program.split("/").at(-1)} ended with ${status ?? signal}: ${last}`), {code: status});
    }
    return {output, seconds: Number(process.hrtime.bigint() - started) / 1e9};
}

/** The program that an environment variable names. */
export function programOf(variable) {
    const program = process.env[variable];
    if (!program) throw new Error(`${variable} is not set`);
    return program;
}
